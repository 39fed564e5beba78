//! What this disk holds: shares, outboards and partial blobs.
