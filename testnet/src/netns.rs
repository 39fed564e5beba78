//! Two hosts on one cable: network namespaces joined by a veth pair. Needs root and `ip`.

use std::{
    fs::File,
    os::fd::AsFd as _,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// What the kernel allows for the name of an interface, without the closing zero.
const MAX_INTERFACE_NAME: usize = 15;

/// Why this process may not make namespaces, in words for the user.
pub(crate) fn refusal() -> Option<&'static str> {
    (!rustix::process::geteuid().is_root()).then_some(
        "two hosts on one machine are two network namespaces, and making them needs root: run it with sudo",
    )
}

/// Two network namespaces that can reach each other and nothing else. They are removed when dropped.
#[derive(Debug)]
pub(crate) struct Cable {
    hosts: [Namespace; 2],
}

/// A network namespace, which is removed when dropped. An interface in it may have its name.
#[derive(Debug)]
pub(crate) struct Namespace(String);

impl Cable {
    /// Makes both hosts, under names that no other run of this program uses.
    ///
    /// # Errors
    ///
    /// This process is not root, there is no `ip`, or the kernel refuses.
    pub(crate) fn lay() -> Result<Self> {
        let name = |end: &str| format!("shoal{}{end}", std::process::id());
        let cable = Self { hosts: [Namespace::add(name("a"))?, Namespace::add(name("b"))?] };
        let [a, b] = cable.hosts.each_ref().map(Namespace::name);
        ip(&["link", "add", a, "netns", a, "type", "veth", "peer", "name", b, "netns", b])?;
        for (host, address) in cable.hosts.iter().zip(["10.66.0.1/24", "10.66.0.2/24"]) {
            host.ip(&["link", "set", "lo", "up"])?;
            host.ip(&["address", "add", address, "dev", host.name()])?;
            host.ip(&["link", "set", host.name(), "up"])?;
        }
        Ok(cable)
    }

    /// Both ends.
    pub(crate) fn hosts(&self) -> &[Namespace; 2] {
        &self.hosts
    }
}

/// The names of those that this process made and has not removed.
static MADE: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Removes every namespace that this process made and that is still there: for an end in which nothing is dropped.
pub(crate) fn remove_all() {
    let made = std::mem::take(&mut *MADE.lock().unwrap_or_else(PoisonError::into_inner));
    made.iter().for_each(|name| remove(name));
}

/// The interfaces go with it. There is nobody to tell that the kernel refuses.
fn remove(name: &str) {
    drop(run(&["netns", "delete", name]));
}

impl Namespace {
    /// Makes it.
    ///
    /// # Errors
    ///
    /// This process is not root, there is no `ip`, or the kernel refuses.
    pub(crate) fn add(name: String) -> Result<Self> {
        if let Some(refusal) = refusal() {
            bail!(refusal);
        }
        debug_assert!(name.len() <= MAX_INTERFACE_NAME);
        // One that is being made when the program is interrupted is among them.
        MADE.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
        let namespace = Self(name);
        ip(&["netns", "add", namespace.name()])?;
        Ok(namespace)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// The words before a command that make it run in there.
    pub(crate) fn wrapper(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.0]
    }

    /// Does something on a thread of its own that is in there.
    ///
    /// # Errors
    ///
    /// As `work`, or the kernel refuses.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let handle = File::open(Path::new("/run/netns").join(self.name()))?;
        thread::scope(|scope| {
            let worker = scope.spawn(move || {
                move_into_link_name_space(handle.as_fd(), Some(LinkNameSpaceType::Network))?;
                work()
            });
            worker.join().unwrap_or_else(|_| bail!("the work in {} panicked", self.name()))
        })
    }

    /// Runs `ip` in there.
    ///
    /// # Errors
    ///
    /// It fails.
    pub(crate) fn ip(&self, args: &[&str]) -> Result<()> {
        ip(&[&["-n", self.name()], args].concat())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        MADE.lock().unwrap_or_else(PoisonError::into_inner).retain(|made| *made != self.0);
        remove(&self.0);
    }
}

/// Runs `ip`.
///
/// # Errors
///
/// There is none, or it fails.
pub(crate) fn ip(args: &[&str]) -> Result<()> {
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
