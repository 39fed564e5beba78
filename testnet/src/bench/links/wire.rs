//! Two hosts far from each other: network namespaces on either side of a process that carries packets slowly.

use std::{env, fs, net::Ipv4Addr, process::Command};

use anyhow::{Context, Result};

use super::{forward::READY, shaper::Quality};
use crate::{
    bench::scene::{Place, Scene, Server},
    netns::{Namespace, ip},
};

/// The hosts' addresses.
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 67, 0, 1), Ipv4Addr::new(10, 67, 0, 2)];

/// The word that makes this program carry packets.
const WIRE: &str = "wire";

/// Bytes of a packet, as on nearly every long link. With larger ones a kernel does not let the window of a receiver grow as
/// it should, and each loss is a large one: with 30,000 curl gets a hundredth of the link.
const MTU: &str = "1500";

/// Two hosts, and what lies between them. Dropping it removes all of it.
pub(crate) struct Wire {
    hosts: [Namespace; 2],
    middle: Namespace,
    taps: Vec<String>,
}

impl Wire {
    /// Makes both hosts, and sets how their kernels react to loss.
    ///
    /// # Errors
    ///
    /// This process is not root, there is no `ip`, or the kernel lacks `veth` or `macvtap`.
    pub(crate) fn lay(congestion: &str) -> Result<Self> {
        let name = |end: &str| format!("shoal{}{end}", std::process::id());
        let hosts = [Namespace::add(name("a"))?, Namespace::add(name("b"))?];
        let mut wire = Self { hosts, middle: Namespace::add(name("m"))?, taps: Vec::new() };
        let middle = wire.middle.name();
        for ((number, host), address) in (0_u32..).zip(&wire.hosts).zip(ADDRESSES) {
            let (end, near) = (host.name(), format!("{}m", host.name()));
            let tap = format!("{end}t");
            // Tap devices of all namespaces share one folder, where they are called by their number.
            let index = std::process::id() * 2 + number + 1000;
            ip(&["link", "add", end, "netns", end, "type", "veth", "peer", "name", &near, "netns", middle])?;
            ip(&["-n", middle, "link", "set", &near, "mtu", MTU, "up"])?;
            #[rustfmt::skip]
            ip(&[
                "-n", middle, "link", "add", "link", &near, "name", &tap, "index", &index.to_string(),
                "type", "macvtap", "mode", "passthru",
            ])?;
            ip(&["-n", middle, "link", "set", &tap, "mtu", MTU, "up"])?;
            host.ip(&["link", "set", "lo", "up"])?;
            host.ip(&["address", "add", &format!("{address}/24"), "dev", end])?;
            host.ip(&["link", "set", end, "mtu", MTU, "up"])?;
            set_congestion(host, congestion)?;
            wire.taps.push(format!("/dev/tap{index}"));
        }
        Ok(wire)
    }

    /// Where contenders run on it: the first host serves.
    pub(crate) fn place(&self) -> Place {
        let [server, client] = self.hosts.each_ref().map(|host| host.wrapper().map(str::to_owned).to_vec());
        let [address, _] = ADDRESSES;
        Place { server, client, address: address.into() }
    }

    /// Starts carrying packets, in both directions alike.
    ///
    /// # Errors
    ///
    /// The process does not start.
    pub(crate) fn carry(&self, scene: &Scene, quality: Quality, seed: u64) -> Result<Server> {
        let [ip, wrapper @ ..] = self.middle.wrapper();
        let mut command = Command::new(ip);
        command.args(wrapper).arg(env::current_exe()?).arg(WIRE).args(&self.taps);
        command.arg(quality.rate.to_string()).arg(quality.delay.as_micros().to_string());
        command.arg(quality.queue.as_micros().to_string()).arg(quality.lost_ppm.to_string());
        command.arg(seed.to_string());
        let process = scene.serve(WIRE, command)?;
        process.wait_for_line(|line| (line == READY).then(String::new))?;
        Ok(process)
    }
}

fn set_congestion(host: &Namespace, algorithm: &str) -> Result<()> {
    let add =
        || format!("a namespace may not use {algorithm}: add it to net.ipv4.tcp_allowed_congestion_control");
    host.within(|| Ok(fs::write("/proc/sys/net/ipv4/tcp_congestion_control", algorithm)?)).with_context(add)
}
