//! Two hosts far from each other: network namespaces on either side of a process that carries packets slowly.

use std::{env, net::Ipv4Addr, process::Command};

use anyhow::{Context, Result, bail};

use super::shaper::Quality;
use crate::{
    bench::scene::{Place, Scene, Server},
    netns::{Namespace, ip},
};

/// The hosts' addresses.
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 67, 0, 1), Ipv4Addr::new(10, 67, 0, 2)];

/// The word that makes this program carry packets.
const WIRE: &str = "wire";

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
            ip(&["-n", middle, "link", "set", &near, "up"])?;
            #[rustfmt::skip]
            ip(&[
                "-n", middle, "link", "add", "link", &near, "name", &tap, "index", &index.to_string(),
                "type", "macvtap", "mode", "passthru",
            ])?;
            ip(&["-n", middle, "link", "set", &tap, "up"])?;
            host.ip(&["link", "set", "lo", "up"])?;
            host.ip(&["address", "add", &format!("{address}/24"), "dev", end])?;
            // Merged packets would be lost and delayed as one, which no link does.
            host.ip(&["link", "set", end, "gso_max_segs", "1", "up"])?;
            set_congestion(host, congestion)?;
            widen_send_buffers(host)?;
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
        process.wait_for_line(|line| (line == "forwarding").then(String::new))?;
        Ok(process)
    }
}

fn set_congestion(host: &Namespace, algorithm: &str) -> Result<()> {
    let set = format!("echo {algorithm} > /proc/sys/net/ipv4/tcp_congestion_control");
    let add =
        || format!("a namespace may not use {algorithm}: add it to net.ipv4.tcp_allowed_congestion_control");
    shell(host, &set).with_context(add)
}

/// Lets a sender have as many bytes under way as a receiver takes. Many kernels stop at 4 MiB, half of which is
/// overhead: too little for half a gigabit at a round trip of 100 ms, which a full queue makes of 50.
fn widen_send_buffers(host: &Namespace) -> Result<()> {
    let set = "read -r least usual most < /proc/sys/net/ipv4/tcp_rmem
        read -r least usual _ < /proc/sys/net/ipv4/tcp_wmem
        echo $least $usual $most > /proc/sys/net/ipv4/tcp_wmem";
    shell(host, set).context("the send buffers of a namespace")
}

fn shell(host: &Namespace, script: &str) -> Result<()> {
    let [ip, wrapper @ ..] = host.wrapper();
    let output = Command::new(ip).args(wrapper).args(["sh", "-c", script]).output();
    let output = output.context("could not run `ip`")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
