//! Fetches against fake peers on in-memory pipes.
