//! What the kernel keeps of a connection on its way out, and when it gives the connection up.
//!
//! Left alone it takes as much as it has room for, and what is written later, a short answer beside a long one, waits
//! behind all of it. And its room ends at 4 MiB with the headers of packets, too little for a way of 25 MB/s and 80 ms on
//! which packets get lost: all that came after a lost one is kept until that has come too.

#[cfg(target_os = "linux")]
use std::time::Duration;

use libp2p::tcp::tokio::TcpStream;
#[cfg(target_os = "linux")]
use rustix::net::{AddressFamily, SocketType, sockopt};
#[cfg(target_os = "linux")]
use socket2::TcpKeepalive;

/// Bytes that the kernel takes beyond those that the connection may send now. With fewer it would have nothing to send
/// before we wake up; with more, short answers wait longer behind long ones: on a way of 60 MB/s this is 2 ms.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 * 1024;

/// Bytes that may be on their way and not yet acknowledged, of which the kernel makes twice as many to have room for the
/// headers. It holds as many only for a peer that has acknowledged nearly as many shortly before.
#[cfg(target_os = "linux")]
const ON_THE_WAY: usize = 4 * 1024 * 1024;

/// How long a peer may leave what we sent unacknowledged. A machine that got another address, or left the network, does not
/// say so, and left alone the kernel tries for a quarter of an hour: a get would wait for the dead connection while the
/// peer can be reached at its new place.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// How long nothing may come before the kernel asks whether the peer is still there, and then how often: who only receives
/// has sent nothing that could stay unacknowledged.
#[cfg(target_os = "linux")]
const SILENCE: Duration = Duration::from_secs(5);
#[cfg(target_os = "linux")]
const ASK_EVERY: Duration = Duration::from_secs(2);

/// How sockets are set on this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// Room for bytes on their way, where asking for some gives more than the kernel would give by itself.
    #[cfg(target_os = "linux")]
    room: Option<usize>,
}

#[cfg(target_os = "linux")]
impl Settings {
    /// Finds out what the kernel allows.
    pub(super) fn of_this_machine() -> Self {
        let granted = granted().ok();
        let by_itself = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_wmem").ok();
        let by_itself = by_itself.and_then(|words| words.split_whitespace().nth(2)?.parse::<usize>().ok());
        let is_more = granted.zip(by_itself).is_some_and(|(granted, by_itself)| granted > by_itself);
        Self { room: is_more.then_some(ON_THE_WAY) }
    }

    /// Sets a connection. One that cannot be set works as well, only not as fast.
    pub(super) fn set(self, stream: TcpStream) -> TcpStream {
        // To this machine itself hardly anything is ever on its way, and needs no room.
        let is_near = stream.0.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
        if let Some(room) = self.room.filter(|_| !is_near) {
            let _ = sockopt::set_socket_send_buffer_size(&stream.0, room);
        }
        let socket = socket2::SockRef::from(&stream.0);
        let _ = socket.set_tcp_notsent_lowat(UNSENT);
        let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENCE).with_interval(ASK_EVERY));
        stream
    }
}

/// The room that a socket has after it was asked for.
#[cfg(target_os = "linux")]
fn granted() -> rustix::io::Result<usize> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockopt::set_socket_send_buffer_size(&socket, ON_THE_WAY)?;
    sockopt::socket_send_buffer_size(&socket)
}

#[cfg(not(target_os = "linux"))]
impl Settings {
    /// Elsewhere the kernel knows best.
    pub(super) fn of_this_machine() -> Self {
        Self {}
    }

    pub(super) fn set(self, stream: TcpStream) -> TcpStream {
        stream
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::net::{TcpListener, TcpStream as Socket};

    use super::*;

    #[tokio::test]
    async fn little_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (stream, _) = tokio::join!(Socket::connect(listener.local_addr().unwrap()), listener.accept());
        let settings = Settings::of_this_machine();
        let stream = settings.set(TcpStream(stream.unwrap()));
        assert_eq!(socket2::SockRef::from(&stream.0).tcp_notsent_lowat().unwrap(), UNSENT);
        assert_eq!(socket2::SockRef::from(&stream.0).tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED));
        assert_eq!(socket2::SockRef::from(&stream.0).tcp_keepalive_time().unwrap(), SILENCE);
        let room = sockopt::socket_send_buffer_size(&stream.0).unwrap();
        assert_ne!(room, granted().unwrap(), "this machine itself is near");
    }
}
