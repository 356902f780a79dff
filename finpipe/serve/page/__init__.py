"""The page of the service: HTML, style sheet and modules as they are, without a build step."""
