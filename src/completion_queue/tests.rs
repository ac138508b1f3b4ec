use std::io;
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
    let mut counting = Counting { socket, total: 0 };
    let taken = queue.drain(&mut counting);
    (counting.total, taken)
}

/// Counts the bytes that are read from a socket.
struct Counting<'a> {
    socket: &'a UnixStream,
    total: usize,
}

impl Read for Counting<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.socket.read(bytes)?;
        self.total += read;
        Ok(read)
    }
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
    for kind in [ErrorKind::OutOfMemory, ErrorKind::Other, ErrorKind::NotConnected, ErrorKind::WriteZero] {
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
    let mut calls = Vec::new();
    for (number, can_be_called) in [(1, false), (2, true), (3, true)] {
        queue.push_and_call(number, || {
            calls.push(number);
            can_be_called
        });
    }
    assert_eq!(queue.take(), [1, 2, 3]);
    queue.push_and_call(4, || {
        calls.push(4);
        true
    });
    assert_eq!(calls, [1, 2, 4]);
}
