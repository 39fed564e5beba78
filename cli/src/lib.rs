//! The shoal command line.
