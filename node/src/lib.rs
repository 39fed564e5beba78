//! A Shoal node as a library: publish, get, find.
