//! Opens, admissions and refusals between real swarms.
