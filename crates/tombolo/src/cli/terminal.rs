//! What the user sees: results on standard output, all else on standard error.

use std::borrow::Cow;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;
use tombolo_train::run::Event;

use super::failure::Failure;

/// Where results, notes and progress go.
#[derive(Clone)]
pub struct Terminal {
    json: bool,
    quiet: bool,
    colour: bool,
    bar: Arc<Mutex<Option<ProgressBar>>>,
}

impl Terminal {
    /// `json`: results are JSON; `quiet`: no notes and no progress.
    pub fn new(json: bool, quiet: bool) -> Self {
        let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { json, quiet, colour, bar: Arc::default() }
    }

    /// Whether results are to be JSON.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Whether standard error shows colours.
    pub fn colour(&self) -> bool {
        self.colour
    }

    /// Prints one JSON document on a line of its own.
    pub fn document(&self, value: &impl Serialize) -> anyhow::Result<()> {
        self.result(&serde_json::to_string(value)?)
    }

    /// Prints a result; on a screen without what would steer it.
    pub fn result(&self, text: &str) -> anyhow::Result<()> {
        let text = if stdout().is_terminal() { harmless(text) } else { Cow::Borrowed(text) };
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Writes a result as it is. That the reader has gone, as `| head` does, is no error.
    pub fn bytes(&self, bytes: &[u8]) -> anyhow::Result<()> {
        match stdout().write_all(bytes).and_then(|()| stdout().flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Prints a sentence for the user, unless told to be quiet.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.line(&harmless(text));
        }
    }

    /// Names an input that was left out, and why.
    pub fn skipped(&self, reason: &str) {
        self.line(&format!("{} {}", self.painted("skipped:", "33"), harmless(reason)));
    }

    /// Prints what is unusual but no error.
    pub fn warning(&self, text: &str) {
        self.line(&format!("{} {}", self.painted("warning:", "33"), harmless(text)));
    }

    /// Prints an error and what to do about it.
    pub fn failure(&self, failure: &Failure) {
        self.end_bar();
        self.line(&format!("{} {}", self.painted("error:", "31"), harmless(&failure.message)));
        if let Some(hint) = &failure.hint {
            self.line(&format!("{} {}", self.painted("hint:", "36"), harmless(hint)));
        }
    }

    /// Shows what training reports.
    pub fn event(&self, event: Event) {
        match event {
            Event::Begin { what, total } => self.begin(&what, total),
            Event::Advance { done, loss } => self.advance(done, loss),
            Event::End { summary } => {
                let seconds = self.end_bar();
                self.note(&format!("{summary} ({})", duration(seconds)));
            }
            Event::Pull { what, bytes, total } => self.pull(&what, bytes, total),
            Event::Warning { message } => self.warning(&message),
            Event::Skipped { reason } => self.skipped(&reason),
        }
    }

    /// Starts a progress bar.
    pub fn begin(&self, what: &str, total: Option<u64>) {
        self.end_bar();
        let bar = self.new_bar(total);
        let template = match total {
            Some(_) => "{msg:32} {bar:24} {pos}/{len}  {rate}  {eta} left",
            None => "{msg:32} {spinner} {pos}  {rate}",
        };
        bar.set_style(style(template));
        bar.set_message(what.to_owned());
        *self.lock() = Some(bar);
    }

    /// Moves the progress bar.
    pub fn advance(&self, done: u64, loss: Option<f32>) {
        if let Some(bar) = &*self.lock() {
            if let Some(loss) = loss {
                let message = bar.message();
                let what = message.split("  loss").next().unwrap_or_default().to_owned();
                bar.set_message(format!("{what}  loss {loss:.3}"));
            }
            bar.set_position(done);
        }
    }

    /// Shows how far the pull of a model has come.
    pub fn pulling(&self, progress: tombolo_models::pull::Progress<'_>) {
        self.pull(&format!("pulling {}", progress.model), progress.bytes, progress.total);
    }

    /// Shows how far a download is.
    pub fn pull(&self, what: &str, bytes: u64, total: Option<u64>) {
        let running = self.lock().as_ref().is_some_and(|bar| bar.message().starts_with(what));
        if !running {
            self.end_bar();
            let bar = self.new_bar(total);
            bar.set_style(style("{msg:32} {bar:24} {bytes}/{total_bytes}  {bytes_per_sec}"));
            bar.set_message(what.to_owned());
            *self.lock() = Some(bar);
        }
        if let Some(bar) = &*self.lock() {
            bar.set_position(bytes);
        }
    }

    /// Takes the progress bar away; returns how long it was there.
    pub fn end_bar(&self) -> Duration {
        match self.lock().take() {
            Some(bar) => {
                let elapsed = bar.elapsed();
                bar.finish_and_clear();
                elapsed
            }
            None => Duration::ZERO,
        }
    }

    fn new_bar(&self, total: Option<u64>) -> ProgressBar {
        let target = match self.quiet || !stderr().is_terminal() {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr_with_hz(8),
        };
        ProgressBar::with_draw_target(total, target)
    }

    fn line(&self, text: &str) {
        match &*self.lock() {
            Some(bar) if !bar.is_hidden() => bar.suspend(|| write_line(text)),
            _ => write_line(text),
        }
    }

    fn painted(&self, word: &str, code: &str) -> String {
        if self.colour { format!("\x1b[1;{code}m{word}\x1b[0m") } else { word.to_owned() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Text for a screen: a caption or a file's name may hold characters that move its cursor or set its title.
fn harmless(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && !['\n', '\t'].contains(&c);
    match text.contains(steers) {
        true => text.replace(steers, "\u{fffd}").into(),
        false => text.into(),
    }
}

fn write_line(text: &str) {
    // There is nobody to tell that standard error is closed.
    let _ = writeln!(stderr(), "{text}");
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("the template is ours");
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        // A bar that cannot be drawn is no reason to stop.
        let _ = write!(out, "{:.1}/s", state.per_sec());
    };
    style.with_key("rate", rate).progress_chars("━╸ ")
}

/// A duration as people say it: `0.4 s`, `12 s`, `3 min 20 s`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        ..10.0 => format!("{seconds:.1} s"),
        ..60.0 => format!("{seconds:.0} s"),
        _ => format!("{} min {} s", seconds as u64 / 60, seconds as u64 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_the_screen_is_shown_as_a_mark() {
        assert_eq!(harmless("a \x1b]0;title\x07 b"), "a \u{fffd}]0;title\u{fffd} b");
        assert_eq!(harmless("two\n\tlines, äöü 犬"), "two\n\tlines, äöü 犬");
    }
}
