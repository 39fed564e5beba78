//! Kademlia and mDNS behaviours, the record store, and announce and lookup decisions.
