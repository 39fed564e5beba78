//! Programs that a scenario starts; none of them outlives it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use shoal_gateway::json::{self, Event};

/// How often to look whether a process has ended: its end cannot be waited for with a deadline.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Knows every process that was started, so that all of them can be ended at once. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Launcher(Arc<Mutex<Started>>);

#[derive(Debug, Default)]
struct Started {
    closed: bool,
    processes: Vec<Weak<Mutex<Child>>>,
}

impl Launcher {
    /// Starts a program that prints events on its standard output.
    ///
    /// # Errors
    ///
    /// The program cannot be started, or everything was ended by [`Launcher::close`].
    pub fn start(&self, command: &mut Command) -> Result<Process> {
        let child = self.spawn(command.stdout(Stdio::piped()))?;
        let stdout = lock(&child).stdout.take().context("a process has no standard output")?;
        let pid = lock(&child).id();
        let (sender, events) = channel();
        thread::spawn(move || read_events(stdout, &sender));
        Ok(Process { pid, child, events })
    }

    /// Starts any program, which may print what and where it likes. Whoever drops it has to end it.
    pub(crate) fn spawn(&self, command: &mut Command) -> Result<Arc<Mutex<Child>>> {
        let mut started = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if started.closed {
            bail!("interrupted");
        }
        let child = command.stdin(Stdio::null()).spawn();
        let child = child.with_context(|| format!("could not start {}", command.get_program().display()))?;
        let child = Arc::new(Mutex::new(child));
        started.processes.retain(|process| process.strong_count() > 0);
        started.processes.push(Arc::downgrade(&child));
        Ok(child)
    }

    /// Kills every process that still runs, and lets no other start.
    pub fn close(&self) {
        let mut started = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        started.closed = true;
        for child in started.processes.iter().filter_map(Weak::upgrade) {
            // Fails only for a process that has ended.
            drop(lock(&child).kill());
        }
    }
}

/// What a process printed.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// A line.
    Event(Event),
    /// Nothing until the deadline.
    Nothing,
    /// It will print no more.
    End,
}

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    child: Arc<Mutex<Child>>,
    events: Receiver<Result<Event>>,
}

impl Process {
    /// Its number in the system.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for what it prints next.
    ///
    /// # Errors
    ///
    /// It printed something that is no event.
    pub fn hear(&self, deadline: Instant) -> Result<Heard> {
        match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(event) => event.map(Heard::Event),
            Err(RecvTimeoutError::Disconnected) => Ok(Heard::End),
            Err(RecvTimeoutError::Timeout) => Ok(Heard::Nothing),
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// It still runs at `deadline`.
    pub fn wait(&self, deadline: Instant) -> Result<ExitStatus> {
        loop {
            if let Some(status) = lock(&self.child).try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                bail!("process {} did not end in time", self.pid);
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Holds it where it is until [`Process::thaw`]; `false` when it has ended already.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn freeze(&self) -> Result<bool> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on after [`Process::freeze`]; `false` when it has ended already.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn thaw(&self) -> Result<bool> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<bool> {
        let mut child = lock(&self.child);
        // As long as it was not waited for, its number is its own.
        let runs = child.try_wait()?.is_none();
        if runs {
            kill_process(Pid::from_child(&child), signal)?;
        }
        Ok(runs)
    }

    /// Kills it, as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn kill(&self) -> Result<()> {
        let mut child = lock(&self.child);
        child.kill()?;
        child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        drop(self.kill());
    }
}

pub(crate) fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_events(stdout: ChildStdout, events: &Sender<Result<Event>>) {
    for line in BufReader::new(stdout).split(b'\n') {
        let event = line.map_err(anyhow::Error::from).and_then(|line| {
            json::decode(&line).map_err(|error| anyhow!("{error} in {:?}", String::from_utf8_lossy(&line)))
        });
        if events.send(event).is_err() {
            // Nobody listens any more, but the process may still want to write.
            continue;
        }
    }
}
