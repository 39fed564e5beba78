//! Two hosts on one cable: network namespaces joined by a veth pair. Needs root and `ip`.

use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// What the kernel allows for the name of an interface, without the closing zero.
const MAX_INTERFACE_NAME: usize = 15;

/// Two network namespaces that can reach each other and nothing else. They are removed when dropped.
#[derive(Debug)]
pub(crate) struct Cable {
    hosts: [Host; 2],
}

/// One end of a cable.
#[derive(Debug)]
pub(crate) struct Host {
    namespace: String,
    interface: String,
    address: &'static str,
}

impl Cable {
    /// Makes both hosts, under names that no other run of this program uses.
    ///
    /// # Errors
    ///
    /// This process is not root, there is no `ip`, or the kernel refuses.
    pub(crate) fn lay() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!(
                "two hosts on one machine are two network namespaces, and making them needs root: run it with sudo"
            );
        }
        let host = |end: &str, address| {
            let name = format!("shoal{}{end}", std::process::id());
            debug_assert!(name.len() <= MAX_INTERFACE_NAME);
            Host { namespace: name.clone(), interface: name, address }
        };
        // From here on a failure removes what was made.
        let cable = Self { hosts: [host("a", "10.66.0.1/24"), host("b", "10.66.0.2/24")] };
        let [a, b] = &cable.hosts;
        ip(&["netns", "add", &a.namespace])?;
        ip(&["netns", "add", &b.namespace])?;
        #[rustfmt::skip]
        ip(&[
            "link", "add", &a.interface, "netns", &a.namespace, "type", "veth",
            "peer", "name", &b.interface, "netns", &b.namespace,
        ])?;
        for host in &cable.hosts {
            host.ip(&["link", "set", "lo", "up"])?;
            host.ip(&["address", "add", host.address, "dev", &host.interface])?;
            host.ip(&["link", "set", &host.interface, "up"])?;
        }
        Ok(cable)
    }

    /// Both ends.
    pub(crate) fn hosts(&self) -> &[Host; 2] {
        &self.hosts
    }
}

impl Host {
    /// The words before a command that make it run on this host.
    pub(crate) fn wrapper(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.namespace]
    }

    fn ip(&self, args: &[&str]) -> Result<()> {
        ip(&[&["-n", &self.namespace], args].concat())
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for host in &self.hosts {
            // The interfaces go with their namespaces. A failure means that this one was never made.
            drop(run(&["netns", "delete", &host.namespace]));
        }
    }
}

fn ip(args: &[&str]) -> Result<()> {
    let output = run(args)?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("`ip {}` failed: {}", args.join(" "), complaint.trim());
    }
    Ok(())
}

fn run(args: &[&str]) -> Result<Output> {
    let output = Command::new("ip").args(args).stdin(Stdio::null()).output();
    output.context("could not run `ip`, which the package iproute2 brings")
}
