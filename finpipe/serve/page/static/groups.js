// The groups of tickers that the service knows, asked for once, and the tickers in them.

import { groups as ask } from "./api.js";

let asked = null;

/** All groups; after a failure they are asked for again. */
export function groups() {
  asked ??= ask().then(
    (answer) => answer.groups,
    (problem) => {
      asked = null;
      throw problem;
    },
  );
  return asked;
}

export function forgetGroups() {
  asked = null;
}

/** Every ticker of a group, each once, sorted; none while the groups are not to be had. */
export async function knownTickers() {
  try {
    return [...new Set((await groups()).flatMap((group) => group.tickers))].sort();
  } catch {
    return [];
  }
}
