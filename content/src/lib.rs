//! Names of content, group ranges, manifests, safe relative paths and tickets.
