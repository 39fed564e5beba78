//! A dial from a port that another program uses too. Only Linux has a second loopback address from the start.

#![cfg(target_os = "linux")]

use std::net::{Ipv4Addr, TcpListener};

use futures::future::poll_fn;
use libp2p::{core::Endpoint, multiaddr::Protocol, tcp};

use super::*;

const FROM_OUR_PORT: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::Reuse };

/// Dials somebody while another program listens at a second address, on the port where `transport` listens.
async fn dialled<T>(mut transport: T) -> io::Result<()>
where
    T: Transport<Error = io::Error> + Unpin,
{
    transport.listen_on(ListenerId::next(), "/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let listens = poll_fn(|cx| Pin::new(&mut transport).poll(cx)).await;
    let ours = listens.into_new_address().unwrap();
    let Some(Protocol::Tcp(port)) = ours.iter().nth(1) else { panic!("it listens at {ours}") };
    let _other_program = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), port)).unwrap();

    let peer = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", peer.local_addr().unwrap().port());
    transport.dial(address.parse().unwrap(), FROM_OUR_PORT).unwrap().await.map(drop)
}

#[tokio::test]
async fn a_dial_leaves_from_another_port_when_ours_is_in_use() {
    let bare = tcp::tokio::Transport::new(tcp::Config::default());
    assert_eq!(dialled(bare).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    let bare = tcp::tokio::Transport::new(tcp::Config::default());
    dialled(AnyPort::new(bare)).await.unwrap();
}
