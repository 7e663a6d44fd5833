//! The operator's command line: demo, load, verify.
