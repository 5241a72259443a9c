//! Fault runs on real processes, and the proof from their histories that nothing was lost or doubled.
