//! Completions on their way from a worker's thread to an event loop's thread.

use std::io::{ErrorKind, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Completions that the event loop has not taken yet, and the socket that wakes the loop.
///
/// Invariant: `is_woken` is set only while the loop is certain to call [`CompletionQueue::take`]: a byte was written
/// since the last `take`, or the socket was full of bytes that the loop has not read. So one byte is enough for
/// everything that is queued, and if a write fails, the next completion writes again.
pub(crate) struct CompletionQueue<T, S> {
    state: Mutex<State<T>>,
    socket: S,
}

struct State<T> {
    completions: Vec<T>,
    is_woken: bool,
}

impl<T, S> CompletionQueue<T, S>
where
    for<'a> &'a S: Write,
{
    /// A queue that wakes its loop by this non-blocking socket.
    pub(crate) fn new(socket: S) -> Self {
        Self { state: Mutex::new(State { completions: Vec::new(), is_woken: false }), socket }
    }

    /// Queues a completion and wakes the loop, unless a wake-up is already on its way.
    pub(crate) fn push(&self, completion: T) {
        let mut state = self.lock();
        state.completions.push(completion);
        // Under the lock, so that nobody relies on a write that fails afterwards.
        state.is_woken = state.is_woken || wake(&self.socket);
    }

    /// The same for a loop that cannot watch a socket. Returns true if the caller has to call the loop, and to report a
    /// failure by [`CompletionQueue::wake_failed`]: that call needs the GIL, whose holder may wait for our lock.
    pub(crate) fn push_and_call(&self, completion: T) -> bool {
        let mut state = self.lock();
        state.completions.push(completion);
        !std::mem::replace(&mut state.is_woken, true)
    }

    /// The loop could not be called: the next completion calls it again.
    pub(crate) fn wake_failed(&self) {
        self.lock().is_woken = false;
    }

    /// Takes everything that is queued. The loop reads its socket empty *before* this: a byte read afterwards could be
    /// the wake-up of a later completion.
    pub(crate) fn take(&self) -> Vec<T> {
        let mut state = self.lock();
        state.is_woken = false;
        std::mem::take(&mut state.completions)
    }

    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the loop is certain to wake up.
fn wake(mut socket: impl Write) -> bool {
    loop {
        match socket.write(&[1]) {
            Ok(written) => return written > 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read as _};
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (ours, loops) = UnixStream::pair().expect("a socket pair");
        ours.set_nonblocking(true).expect("it can be set");
        loops.set_nonblocking(true).expect("it can be set");
        (ours, loops)
    }

    /// What the event loop does when its socket is readable: the number of bytes read, and what it took.
    fn wake_up<S>(queue: &CompletionQueue<u32, S>, socket: &mut UnixStream) -> (usize, Vec<u32>)
    where
        for<'a> &'a S: Write,
    {
        let mut bytes = [0; 4096];
        let mut total = 0;
        while let Ok(read) = socket.read(&mut bytes)
            && read > 0
        {
            total += read;
        }
        (total, queue.take())
    }

    #[test]
    fn one_byte_wakes_the_loop_for_all_completions() {
        let (ours, mut loops) = pair();
        let queue = CompletionQueue::new(ours);
        for round in [10, 20] {
            (0..3).for_each(|number| queue.push(round + number));
            assert_eq!(wake_up(&queue, &mut loops), (1, vec![round, round + 1, round + 2]));
        }
    }

    #[test]
    fn a_completion_after_a_take_wakes_the_loop_again() {
        let (ours, mut loops) = pair();
        let queue = CompletionQueue::new(ours);
        queue.push(1);
        // Taken for another reason than the byte, which is still in the socket.
        assert_eq!(queue.take(), [1]);
        queue.push(2);
        assert_eq!(wake_up(&queue, &mut loops), (2, vec![2]));
    }

    #[test]
    fn a_full_socket_counts_as_a_wake_up() {
        let (ours, mut loops) = pair();
        let filling = ours.try_clone().expect("it can be cloned");
        let mut full = 0;
        while let Ok(written) = (&filling).write(&[0; 1024]) {
            full += written;
        }
        let queue = CompletionQueue::new(ours);
        queue.push(1);
        queue.push(2);
        assert_eq!(wake_up(&queue, &mut loops), (full, vec![1, 2]));
        queue.push(3);
        assert_eq!(wake_up(&queue, &mut loops), (1, vec![3]));
    }

    /// A socket whose first writes fail.
    struct Failing {
        socket: UnixStream,
        failures: AtomicUsize,
        kind: ErrorKind,
    }

    impl Write for &Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let left = self.failures.load(Ordering::Relaxed);
            if left == 0 {
                return (&self.socket).write(bytes);
            }
            self.failures.store(left - 1, Ordering::Relaxed);
            if self.kind == ErrorKind::WriteZero { Ok(0) } else { Err(self.kind.into()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_write_that_failed_is_repeated_by_the_next_completion() {
        for kind in [ErrorKind::OutOfMemory, ErrorKind::Other, ErrorKind::NotConnected, ErrorKind::WriteZero]
        {
            let (socket, mut loops) = pair();
            let queue = CompletionQueue::new(Failing { socket, failures: AtomicUsize::new(2), kind });
            queue.push(1);
            queue.push(2);
            queue.push(3);
            queue.push(4);
            assert_eq!(wake_up(&queue, &mut loops), (1, vec![1, 2, 3, 4]), "{kind}");
        }
    }

    #[test]
    fn a_write_that_a_signal_interrupted_is_repeated_at_once() {
        let (socket, mut loops) = pair();
        let failures = AtomicUsize::new(3);
        let queue = CompletionQueue::new(Failing { socket, failures, kind: ErrorKind::Interrupted });
        queue.push(1);
        assert_eq!(wake_up(&queue, &mut loops), (1, vec![1]));
    }

    #[test]
    fn a_loop_that_is_gone_is_not_taken_for_one_that_was_woken() {
        let (ours, loops) = pair();
        drop(loops);
        let queue = CompletionQueue::new(ours);
        queue.push(1);
        assert!(!queue.lock().is_woken);
        queue.push(2);
        assert_eq!(queue.take(), [1, 2]);
    }

    #[test]
    fn a_loop_that_watches_no_socket_is_called_once_and_again_after_a_failure() {
        let (ours, _loops) = pair();
        let queue = CompletionQueue::new(ours);
        assert_eq!([1, 2].map(|number| queue.push_and_call(number)), [true, false]);
        queue.wake_failed();
        assert!(queue.push_and_call(3));
        assert_eq!(queue.take(), [1, 2, 3]);
        assert!(queue.push_and_call(4));
    }
}
