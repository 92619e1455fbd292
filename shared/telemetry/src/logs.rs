//! Logs: one flat JSON object per line on standard output, or coloured text on a terminal.
//!
//! A line is handed over and written later: standard output that is full, closed or read by nobody
//! stops no call. What cannot be written is dropped, and counted.

mod lines;

use std::{
    fs::File,
    io::{self, IsTerminal, stdout},
    os::fd::AsFd,
    sync::OnceLock,
    time::Duration,
};

use lines::Lines;

use settings::{Need, Reader, Setting};
use tracing::Level;
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Libraries whose spans stand inside every frame: recorded, they cost more than the call itself.
const QUIET: [&str; 6] = ["h2", "hyper", "hyper_util", "tokio", "tonic", "tower"];

/// The lines of this process.
static LINES: OnceLock<Lines> = OnceLock::new();

/// What is logged, and in which form.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `RUST_LOG`: a level, or `target=level` pairs.
    pub filter: Targets,
    /// `LOG_FORMAT`: `json` or `text`; JSON unless standard output is a terminal.
    pub format: Format,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// One flat object per line.
    Json,
    /// For people.
    Text,
}

impl Settings {
    /// Reads `RUST_LOG` and `LOG_FORMAT`.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let level = Setting {
            name: "RUST_LOG",
            need: Need::Default("info"),
            expects: "a level, or a comma list of target=level",
            about: "what is logged",
        };
        let filter = reader.read(level, filter);
        let format = Setting {
            name: "LOG_FORMAT",
            need: Need::Optional,
            expects: "json or text",
            about: "the form of a log line; JSON unless standard output is a terminal",
        };
        let format = reader.maybe(format, |text| match text {
            "json" => Some(Format::Json),
            "text" => Some(Format::Text),
            _ => None,
        });
        let fitting = if stdout().is_terminal() { Format::Text } else { Format::Json };
        Some(Self { filter: filter?, format: format?.unwrap_or(fitting) })
    }
}

/// The filter for `RUST_LOG`: the noisy libraries stay at warnings unless they are named.
fn filter(text: &str) -> Option<Targets> {
    // A bare word would be taken for a target, at its loudest; most often it is a level misspelt.
    let is_told = |part: &str| part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
    let asked: Targets = text.split(',').all(is_told).then(|| text.parse().ok())??;
    let quiet = QUIET.map(|target| (target, Level::WARN));
    let named = asked.iter().map(|(target, level)| (target.to_owned(), level));
    let filter = Targets::new().with_targets(quiet).with_targets(named.collect::<Vec<_>>());
    Some(match asked.default_level() {
        Some(level) => filter.with_default(level),
        None => filter,
    })
}

/// Starts logging for the whole process. A second start keeps the first. Fails where the process
/// may have no more threads or descriptors.
pub fn start(settings: &Settings) -> io::Result<()> {
    // Tests start several servers in one process; the first subscriber serves them all.
    if LINES.get().is_none() {
        // Past the buffer of the standard library, which would keep what a full disk has refused.
        let out = File::from(stdout().as_fd().try_clone_to_owned()?);
        let lines = LINES.get_or_init({
            let lines = Lines::to(out)?;
            || lines
        });
        let _already_started = subscriber(settings, move || lines).try_init();
    }
    Ok(())
}

/// Waits until what was said so far is written, but not for longer than this: to be called at the
/// end.
pub fn flush(wait_max: Duration) {
    if let Some(lines) = LINES.get() {
        lines.flush(wait_max);
    }
}

/// How many lines were dropped since the start, because they could not be written.
pub fn dropped_total() -> u64 {
    LINES.get().map_or(0, Lines::dropped)
}

fn subscriber<W>(settings: &Settings, out: W) -> impl tracing::Subscriber + Send + Sync + use<W>
where
    W: for<'w> fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = match settings.format {
        Format::Json => {
            let lines = fmt::layer().with_writer(out).json().flatten_event(true);
            lines.with_current_span(false).with_span_list(false).boxed()
        }
        Format::Text => {
            let lines = fmt::layer().with_writer(out).compact();
            lines.with_ansi(stdout().is_terminal()).boxed()
        }
    };
    tracing_subscriber::registry().with(lines.with_filter(settings.filter.clone()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use fault::{Fault, Reason};

    use super::*;

    #[test]
    fn spans_inside_the_transport_are_never_recorded_by_a_plain_level() {
        let debug = filter("debug").unwrap();
        for target in QUIET {
            assert!(!debug.would_enable(target, &Level::INFO), "{target}");
            assert!(!debug.would_enable(&format!("{target}::proto"), &Level::DEBUG), "{target}");
        }
        assert!(debug.would_enable("user::service", &Level::DEBUG));
    }

    /// A span inside the transport's frames, under the subscriber of production, is not even made.
    #[test]
    fn no_level_records_a_span_of_h2_hyper_or_tokio() {
        for level in ["error", "info", "debug", "trace"] {
            let settings = Settings { filter: filter(level).unwrap(), format: Format::Json };
            tracing::subscriber::with_default(subscriber(&settings, io::sink), || {
                let spans = [
                    tracing::debug_span!(target: "h2::proto::connection", "poll"),
                    tracing::trace_span!(target: "h2::codec::framed_read", "FramedRead::poll_next"),
                    tracing::info_span!(target: "hyper::proto::h1", "conn"),
                    tracing::trace_span!(target: "tokio::task", "runtime.spawn"),
                    tracing::debug_span!(target: "tower::buffer::worker", "poll"),
                ];
                for span in spans {
                    assert!(span.is_disabled(), "{level}: {span:?}");
                }
                let ours = tracing::info_span!(target: "user::service", "call");
                assert_eq!(ours.is_disabled(), level == "error");
            });
        }
    }

    #[test]
    fn a_named_target_is_heard() {
        assert!(filter("info,h2=trace").unwrap().would_enable("h2::codec", &Level::TRACE));
        assert!(filter("loud").is_none());
    }

    /// As JSON tells of it: of an error that is a field no more than the outermost words.
    #[test]
    fn a_line_tells_of_an_error_with_what_is_behind_it() {
        let (mut reader, writer) = io::pipe().unwrap();
        let settings = Settings { filter: filter("info").unwrap(), format: Format::Json };
        let out = move || writer.try_clone().unwrap();
        tracing::subscriber::with_default(subscriber(&settings, out), || {
            let error = Fault::new(Reason::DbUnavailable).because("no route");
            tracing::warn!(error = fault::chain(&error), "sweeping failed");
        });
        let mut line = String::new();
        reader.read_to_string(&mut line).unwrap();
        let error = r#""error":"the database is unavailable: no route""#;
        assert!(line.contains(error), "{line}");
    }
}
