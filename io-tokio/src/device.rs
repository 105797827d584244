//! One device at work: a thread, or under simulation a task, that carries out what it is given in order. Knows no
//! operation.

use crate::disk::{DeviceOp, DiskDone};
use tokio::sync::mpsc::UnboundedSender;

/// Carries out operations of one device.
pub(crate) trait Work {
    /// Carries out everything that has come in since the last time; `None`: the device has failed and does nothing more.
    fn work(&mut self, ops: Vec<DeviceOp>, done: &mut dyn FnMut(DiskDone)) -> Option<()>;
}

#[cfg(madsim)]
pub(crate) use tasks::Worker;
#[cfg(not(madsim))]
pub(crate) use threads::Worker;

#[cfg(not(madsim))]
mod threads {
    use super::{DeviceOp, DiskDone, UnboundedSender, Work};
    use std::sync::mpsc::{Sender, channel};
    use std::thread::{Builder, JoinHandle};

    /// A device at work.
    #[derive(Debug)]
    pub(crate) struct Worker {
        ops: Sender<Vec<DeviceOp>>,
        thread: JoinHandle<()>,
    }

    impl Worker {
        pub(crate) fn start(
            name: &str,
            mut device: impl Work + Send + 'static,
            done: UnboundedSender<DiskDone>,
        ) -> Self {
            let (ops, receiver) = channel::<Vec<DeviceOp>>();
            let work = move || {
                while let Ok(mut batch) = receiver.recv() {
                    // What came in meanwhile is carried out together: one fsync for all of it.
                    while let Ok(more) = receiver.try_recv() {
                        batch.extend(more);
                    }
                    let mut tell = |answer| {
                        let _ = done.send(answer);
                    };
                    if device.work(batch, &mut tell).is_none() {
                        return;
                    }
                }
            };
            let thread = Builder::new().name(name.into()).spawn(work);
            Self { ops, thread: thread.expect("the system has threads") }
        }

        pub(crate) fn give(&self, ops: Vec<DeviceOp>) {
            // A thread that is gone has said why.
            let _ = self.ops.send(ops);
        }

        /// Waits until everything given is done.
        pub(crate) fn finish(self) {
            drop(self.ops);
            let _ = self.thread.join();
        }
    }
}

#[cfg(madsim)]
mod tasks {
    use super::{DeviceOp, DiskDone, UnboundedSender, Work};
    use crate::simulated::{is_off, take_cost};
    use tokio::sync::mpsc::unbounded_channel;
    use tokio::time::{Duration, sleep};

    /// A device at work.
    #[derive(Debug)]
    pub(crate) struct Worker {
        ops: UnboundedSender<Vec<DeviceOp>>,
    }

    impl Worker {
        pub(crate) fn start(
            _: &str,
            mut device: impl Work + 'static,
            done: UnboundedSender<DiskDone>,
        ) -> Self {
            let (ops, mut receiver) = unbounded_channel::<Vec<DeviceOp>>();
            tokio::task::spawn_local(async move {
                while let Some(mut batch) = receiver.recv().await {
                    while let Ok(more) = receiver.try_recv() {
                        batch.extend(more);
                    }
                    // Each answer comes when what it speaks of has taken its time.
                    let mut answers = Vec::new();
                    let goes_on =
                        device.work(batch, &mut |answer| answers.push((take_cost(), answer)));
                    answers.reverse();
                    while let Some((cost_us, answer)) = answers.pop() {
                        sleep(Duration::from_micros(cost_us)).await;
                        if is_off() {
                            return;
                        }
                        let _ = done.send(answer);
                    }
                    sleep(Duration::from_micros(take_cost())).await;
                    if goes_on.is_none() {
                        return;
                    }
                }
            });
            Self { ops }
        }

        pub(crate) fn give(&self, ops: Vec<DeviceOp>) {
            let _ = self.ops.send(ops);
        }

        /// Whatever is left ends with the process.
        pub(crate) fn finish(self) {}
    }
}
