//! The four services together: walkthroughs, faults, house rules.
