//! What went wrong with a connection, in words for people.

use std::{error::Error, io};

use libp2p::{Multiaddr, request_response::OutboundFailure, swarm::DialError};
use shoal_dht::is_unsupported;

use super::super::{NetError, dialling::bare};

/// Addresses of which a failure tells what happened at each. More would bury the sentence.
const TOLD: usize = 3;

/// How libp2p says that a connection was not made in time.
const LIBP2P_TIMEOUT: &str = "Timeout has been reached";

/// Why nobody could be reached.
pub(super) fn of_dial(error: &DialError) -> String {
    match error {
        DialError::Transport(failures) => {
            let mut causes: Vec<_> =
                failures.iter().map(|(address, error)| (address, root_cause(error))).collect();
            causes.dedup_by(|(_, next), (_, one)| next == one);
            match causes.as_slice() {
                [] => "no address".into(),
                [(_, cause)] => cause.clone(),
                several => {
                    let told =
                        several.iter().take(TOLD).map(|(address, cause)| format!("{address}: {cause}"));
                    told.collect::<Vec<_>>().join(", ")
                }
            }
        }
        DialError::NoAddresses => "no address is known".into(),
        DialError::WrongPeerId { obtained, .. } => format!("another peer lives there, {obtained}"),
        DialError::LocalPeerId { .. } => "it is this node itself".into(),
        other => root_cause(other),
    }
}

/// Where nobody was reached.
pub(super) fn places(error: &DialError) -> Vec<Multiaddr> {
    match error {
        DialError::Transport(failures) => failures.iter().map(|(address, _)| bare(address)).collect(),
        _ => Vec::new(),
    }
}

/// Why a question was not answered.
pub(super) fn of_question(error: &OutboundFailure) -> NetError {
    match error {
        OutboundFailure::DialFailure => NetError::Unreachable("no address of it answers".into()),
        error if is_unsupported(error) => NetError::NotMember,
        _ => NetError::NoAnswer,
    }
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    match error.source() {
        Some(cause) => root_cause(cause),
        None => in_words(&error.to_string()),
    }
}

/// What the system or a transport said, as people would. Transports hide the error of the system inside theirs, so that
/// its text is all there is to go by.
fn in_words(text: &str) -> String {
    let Some((said, number)) = text.rsplit_once(" (os error ") else {
        return if text.starts_with(LIBP2P_TIMEOUT) { "timed out".into() } else { text.to_owned() };
    };
    let number = number.trim_end_matches(')').parse();
    let words = number.ok().map(io::Error::from_raw_os_error).and_then(|error| words(&error));
    words.unwrap_or(said).to_owned()
}

/// The usual failures, in words that are the same on every system.
fn words(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Some("connection refused"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Some("connection reset"),
        io::ErrorKind::TimedOut => Some("timed out"),
        io::ErrorKind::HostUnreachable => Some("no route to the host"),
        io::ErrorKind::NetworkUnreachable => Some("the network is unreachable"),
        io::ErrorKind::PermissionDenied => Some("this system does not permit it"),
        io::ErrorKind::UnexpectedEof => Some("the connection was closed at once"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use libp2p::core::transport::TransportError;

    use super::*;

    fn refused(port: u16) -> (Multiaddr, TransportError<io::Error>) {
        let address = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
        let refused = io::Error::from_raw_os_error(rustix::io::Errno::CONNREFUSED.raw_os_error());
        (address, TransportError::Other(io::Error::other(refused)))
    }

    #[test]
    fn a_cause_is_told_once() {
        let error = DialError::Transport(vec![refused(1), refused(2)]);
        assert_eq!(of_dial(&error), "connection refused");
    }

    #[test]
    fn different_causes_are_told_with_their_addresses() {
        let address: Multiaddr = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
        let unknown = (address.clone(), TransportError::MultiaddrNotSupported(address));
        let text = of_dial(&DialError::Transport(vec![refused(1), unknown]));
        assert!(
            text.starts_with("/ip4/127.0.0.1/tcp/1: connection refused, /ip4/192.0.2.1/tcp/1: "),
            "{text}"
        );
    }
}
