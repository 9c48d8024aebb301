//! A connection that waits only so long for its client to take what is sent.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What a client must take in a second on average while there is something to take, in bytes: less than that and it holds its
/// place for the place's sake.
const LEAST_RATE: u32 = 16 << 10;

/// A stream that fails when its client takes nothing for so long, or little for long: a client that asks for large photos and
/// reads them drop by drop would keep its place for ever.
///
/// Time that the stream waits for the client is taken from an account, and what the client takes pays into it, a second for
/// [`LEAST_RATE`] bytes; it never holds more than at the beginning.
pub struct Patience<T> {
    stream: T,
    most: Duration,
    left: Duration,
    /// Since when nothing was taken, and when there is nothing left to wait with.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<T> Patience<T> {
    /// Nothing has been sent yet.
    pub fn new(stream: T, most: Duration) -> Self {
        Self { stream, most, left: most, waiting: None }
    }

    /// Passes on what became of a write of so many bytes, unless the client has been waited for too long.
    fn within<R>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<R>>,
        taken: impl Fn(&R) -> usize,
    ) -> Poll<io::Result<R>> {
        if let Poll::Ready(result) = written {
            let waited = self.waiting.take().map_or(Duration::ZERO, |(since, _)| since.elapsed());
            let bytes = result.as_ref().map_or(0, taken);
            let paid = Duration::from_secs_f64(bytes as f64 / f64::from(LEAST_RATE));
            self.left = (self.left.saturating_sub(waited) + paid).min(self.most);
            return Poll::Ready(result);
        }
        let left = self.left;
        let (_, end) = self
            .waiting
            .get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
        ready!(end.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patience<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patience<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.within(context, written, |&taken| taken)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.within(context, written, |&taken| taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.within(context, flushed, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.within(context, shut, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Instant;

    use super::*;

    /// Takes some bytes, and then none any more.
    struct Full(usize);

    impl AsyncWrite for Full {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = self.0.min(bytes.len());
            self.0 -= taken;
            if taken == 0 { Poll::Pending } else { Poll::Ready(Ok(taken)) }
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_is_not_taken_in_time_is_an_error() {
        let limit = Duration::from_millis(60);
        let mut stream = Patience::new(Full(3), limit);
        let mut write =
            async || poll_fn(|context| Pin::new(&mut stream).poll_write(context, b"hello")).await;
        assert_eq!(write().await.unwrap(), 3);
        let started = Instant::now();
        assert_eq!(write().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(started.elapsed() >= limit);
    }

    /// Takes a byte whenever so long has passed since the last.
    struct Slow(Duration, Pin<Box<Sleep>>);

    impl AsyncWrite for Slow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            ready!(self.1.as_mut().poll(context));
            let next = tokio::time::Instant::now() + self.0;
            self.1.as_mut().reset(next);
            Poll::Ready(Ok(1))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_is_taken_drop_by_drop_is_an_error_too() {
        let pause = Duration::from_millis(100);
        let slow = Slow(pause, Box::pin(tokio::time::sleep(pause)));
        let mut stream = Patience::new(slow, 5 * pause);
        let mut taken = 0;
        let error = loop {
            match poll_fn(|context| Pin::new(&mut stream).poll_write(context, b"hello")).await {
                Ok(bytes) => taken += bytes,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!((1..=6).contains(&taken), "{taken} bytes, one every fifth of the patience");
    }
}
