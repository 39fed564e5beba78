//! Many Shoal nodes on one machine: clusters, faults, scenarios and the demo.
