// Numbers and days as people of the chosen language write them; what is unknown is a dash.

import { language } from "./words.js";

const UNKNOWN = "–";
const formats = new Map();

function format(options) {
  const key = language() + JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Intl.NumberFormat(language(), options));
  return formats.get(key);
}

function shown(value, options) {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  return format(options).format(value).replace(/^-/, "−");
}

/** A fraction in per cent. */
export function percent(value, digits = 1) {
  return shown(value, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A change, with its sign. */
export function change(value, digits = 1) {
  return shown(value, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "exceptZero" });
}

export function decimal(value, digits = 2) {
  return shown(value, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A price or a sum: cents where it is small enough for them to matter. */
export function money(value) {
  const digits = Math.abs(value ?? 0) < 10_000 ? 2 : 0;
  return shown(value, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function integer(value) {
  return shown(value, { maximumFractionDigits: 0 });
}

/** A large number in short. */
export function compact(value) {
  return shown(value, { notation: "compact", maximumFractionDigits: 1 });
}

export function bytes(value) {
  if (value === null || value === undefined) return UNKNOWN;
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  let at = 0;
  let left = value;
  while (left >= 1024 && at < units.length - 1) {
    left /= 1024;
    at += 1;
  }
  return shown(left, { style: "unit", unit: units[at], unitDisplay: "narrow", maximumFractionDigits: at ? 1 : 0 });
}

export function seconds(value) {
  return shown(value, { style: "unit", unit: "second", unitDisplay: "narrow", maximumFractionDigits: value < 10 ? 1 : 0 });
}

/** A day, given as ISO text. */
export function day(text) {
  if (!text) return UNKNOWN;
  return new Intl.DateTimeFormat(language(), { dateStyle: "medium", timeZone: "UTC" }).format(new Date(`${text.slice(0, 10)}T00:00:00Z`));
}

/** A moment, in the time of the reader. */
export function moment(text) {
  if (!text) return UNKNOWN;
  return new Intl.DateTimeFormat(language(), { dateStyle: "medium", timeStyle: "short" }).format(new Date(text));
}
