//! What an error is made of. Transports wrap those of others several times.

use std::error::Error;
use std::{io, iter};

/// An error, what it is made of, and so on.
///
/// What an [`io::Error`] holds is not its source, so that who goes from source to source passes it by.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| {
        let within = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        within.map(|within| within as _).or_else(|| error.source())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrapped_in_several_ways_is_found() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::TimedOut, refused));
        let kinds: Vec<_> = causes(&wrapped)
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .map(io::Error::kind)
            .collect();
        assert_eq!(kinds, [io::ErrorKind::Other, io::ErrorKind::TimedOut, io::ErrorKind::ConnectionRefused],);
    }
}
