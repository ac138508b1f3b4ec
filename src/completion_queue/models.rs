//! Models of threads that complete lookups and of the event loop's thread that takes the completions.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use shuttle::sync::{Condvar, Mutex, MutexGuard};
use shuttle::thread::{self, JoinHandle};

use super::{CompletionQueue, Read, Write};
use crate::sync::explore::{explore, explore_all};

type Queue = CompletionQueue<usize, Socket>;

/// Both ends of the socket that wakes the loop.
#[derive(Clone)]
struct Socket(Arc<(Mutex<Buffer>, Condvar)>);

struct Buffer {
    capacity: usize,
    /// How many writes fail before one succeeds.
    failures: usize,
    unread: usize,
    /// How many bytes were ever written.
    written: usize,
    is_closed: bool,
}

impl Socket {
    fn new(capacity: usize) -> Self {
        Self::failing(0, capacity)
    }

    fn failing(failures: usize, capacity: usize) -> Self {
        let buffer = Buffer { capacity, failures, unread: 0, written: 0, is_closed: false };
        Self(Arc::new((Mutex::new(buffer), Condvar::new())))
    }

    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.0.0.lock().unwrap()
    }

    /// Blocks until the loop's end is readable.
    fn select(&self) {
        drop(self.0.1.wait_while(self.lock(), |buffer| buffer.unread == 0).unwrap());
    }

    fn close(&self) {
        self.lock().is_closed = true;
    }

    fn written(&self) -> usize {
        self.lock().written
    }
}

impl Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut buffer = self.lock();
        if buffer.is_closed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if buffer.failures > 0 {
            buffer.failures -= 1;
            return Err(ErrorKind::OutOfMemory.into());
        }
        if buffer.unread + bytes.len() > buffer.capacity {
            return Err(ErrorKind::WouldBlock.into());
        }
        buffer.unread += bytes.len();
        buffer.written += bytes.len();
        self.0.1.notify_one();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for &Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = self.lock();
        let read = buffer.unread.min(bytes.len());
        buffer.unread -= read;
        if read > 0 { Ok(read) } else { Err(ErrorKind::WouldBlock.into()) }
    }
}

/// An event loop that takes completions until all of them have come.
#[derive(Default)]
struct Loop {
    taken: Vec<usize>,
    takes: usize,
}

impl Loop {
    fn call(&mut self, queue: &Queue, socket: &Socket) {
        self.taken.extend(queue.drain(socket));
        self.takes += 1;
    }

    /// Waits for ever if a completion is left in the queue without a wake-up.
    fn run_until(&mut self, completions: usize, queue: &Queue, socket: &Socket) {
        while self.taken.len() < completions {
            socket.select();
            self.call(queue, socket);
        }
    }

    fn assert_taken_once(mut self, completions: usize) {
        self.taken.sort_unstable();
        assert!(self.taken.iter().copied().eq(0..completions), "{:?}", self.taken);
    }
}

/// A thread for each completion.
fn complete(queue: &Arc<Queue>, completions: usize) -> Vec<JoinHandle<()>> {
    let push = |number| {
        let queue = Arc::clone(queue);
        thread::spawn(move || queue.push(number))
    };
    (0..completions).map(push).collect()
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

fn every_completion_wakes_the_loop(completions: usize) {
    let socket = Socket::new(16);
    let queue = Arc::new(Queue::new(socket.clone()));
    let threads = complete(&queue, completions);
    let mut event_loop = Loop::default();
    // The loop is also called for other reasons, before there is a wake-up.
    event_loop.call(&queue, &socket);
    event_loop.run_until(completions, &queue, &socket);
    join(threads);
    assert!(socket.written() <= event_loop.takes, "one wake-up until the loop takes the completions");
    event_loop.assert_taken_once(completions);
}

#[test]
fn one_completion_wakes_the_loop() {
    explore_all(|| every_completion_wakes_the_loop(1));
}

#[test]
fn several_completions_wake_the_loop() {
    explore(4000, || every_completion_wakes_the_loop(4));
}

/// Nobody relies on a wake-up that fails afterwards.
#[test]
fn a_completion_after_a_failed_write_wakes_the_loop() {
    explore(4000, || {
        let socket = Socket::failing(2, 16);
        let queue = Arc::new(Queue::new(socket.clone()));
        let threads = complete(&queue, 3);
        let mut event_loop = Loop::default();
        event_loop.run_until(3, &queue, &socket);
        join(threads);
        event_loop.assert_taken_once(3);
    });
}

/// The socket is full: of wake-ups that the loop has not read, and which it is certain to read.
#[test]
fn completions_wake_a_loop_whose_socket_is_full() {
    explore(4000, || {
        let socket = Socket::new(1);
        (&socket).write_all(&[1]).unwrap();
        let queue = Arc::new(Queue::new(socket.clone()));
        let threads = complete(&queue, 2);
        let mut event_loop = Loop::default();
        event_loop.run_until(2, &queue, &socket);
        join(threads);
        event_loop.assert_taken_once(2);
    });
}

#[test]
fn no_completion_waits_for_a_loop_that_closes() {
    explore(4000, || {
        let socket = Socket::new(16);
        let queue = Arc::new(Queue::new(socket.clone()));
        let threads = complete(&queue, 3);
        let mut event_loop = Loop::default();
        event_loop.run_until(1, &queue, &socket);
        socket.close();
        join(threads);
        event_loop.call(&queue, &socket);
        event_loop.assert_taken_once(3);
    });
}

/// A loop that cannot watch a socket, and the calls that it has to handle.
#[derive(Default)]
struct Calls {
    pending: Mutex<usize>,
    any: Condvar,
}

impl Calls {
    fn call(&self) -> bool {
        *self.pending.lock().unwrap() += 1;
        self.any.notify_one();
        true
    }

    fn wait(&self) {
        let mut pending = self.any.wait_while(self.pending.lock().unwrap(), |pending| *pending == 0).unwrap();
        *pending -= 1;
    }
}

#[test]
fn completions_call_a_loop_that_watches_no_socket() {
    explore(4000, || {
        let socket = Socket::new(0);
        let queue = Arc::new(Queue::new(socket.clone()));
        let calls = Arc::new(Calls::default());
        let push = |number| {
            let (queue, calls) = (Arc::clone(&queue), Arc::clone(&calls));
            thread::spawn(move || queue.push_and_call(number, || calls.call()))
        };
        let threads = (0..3).map(push).collect();
        let mut event_loop = Loop::default();
        while event_loop.taken.len() < 3 {
            calls.wait();
            event_loop.call(&queue, &socket);
        }
        join(threads);
        assert_eq!(*calls.pending.lock().unwrap(), 0, "one call until the loop takes the completions");
        event_loop.assert_taken_once(3);
    });
}

/// A call that failed must not keep a later completion from calling the loop, whichever of the two finishes first.
#[test]
fn a_completion_after_a_failed_call_calls_the_loop() {
    explore_all(|| {
        let socket = Socket::new(0);
        let queue = Arc::new(Queue::new(socket.clone()));
        let failing = Arc::clone(&queue);
        let failing = thread::spawn(move || failing.push_and_call(0, || false));
        let other = Arc::clone(&queue);
        let other = thread::spawn(move || other.push_and_call(1, || false));
        join(vec![failing, other]);
        let mut is_called = false;
        queue.push_and_call(2, || {
            is_called = true;
            true
        });
        assert!(is_called);
        let mut event_loop = Loop::default();
        event_loop.call(&queue, &socket);
        event_loop.assert_taken_once(3);
    });
}
