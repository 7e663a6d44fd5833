//! The four services together: walkthroughs, faults, workspace rules.
