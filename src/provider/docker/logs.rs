//! A replica's output, line by line and bounded.

use std::collections::VecDeque;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt;
use tokio::sync::mpsc::Sender;

use super::DockerProvider;
use crate::live::ReplicaId;
use crate::provider::StepError;

/// The most lines that are read at once.
const LINES: usize = 10_000;
/// A longer line is cut here, in bytes.
const LINE_BYTES: usize = 8 * 1024;

impl DockerProvider {
    pub(super) async fn last_lines(&self, replica: &ReplicaId, lines: usize) -> Result<Vec<String>, StepError> {
        self.needed(replica).await?;
        let docker = self.engine.client().await?;
        let options = options(lines, false);
        let mut stream = std::pin::pin!(docker.logs(&replica.0, Some(options)));
        let mut kept = Kept::new(lines.min(LINES));
        loop {
            match tokio::time::timeout(self.engine.read_limit, stream.next()).await {
                Err(_) => return Err(self.engine.late(self.engine.read_limit).into()),
                Ok(None) => return Ok(kept.finish()),
                Ok(Some(Err(error))) => return Err(self.engine.explain(error).into()),
                Ok(Some(Ok(output))) => kept.take(&output),
            }
        }
    }

    pub(super) async fn follow(
        &self,
        replica: &ReplicaId,
        lines: usize,
        sink: Sender<String>,
    ) -> Result<(), StepError> {
        self.needed(replica).await?;
        let docker = self.engine.client().await?;
        let mut stream = std::pin::pin!(docker.logs(&replica.0, Some(options(lines, true))));
        let mut splitter = Splitter::default();
        loop {
            // No limit: a quiet replica says nothing for days.
            let next = tokio::select! {
                next = stream.next() => next,
                () = sink.closed() => return Ok(()),
            };
            let ready = match next {
                None => splitter.rest(),
                Some(Err(error)) => return Err(self.engine.explain(error).into()),
                Some(Ok(ref output)) => splitter.take(output),
            };
            for line in ready {
                if sink.send(line).await.is_err() {
                    return Ok(());
                }
            }
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// The first line of a container's standard output, within `limit`; `None` where it ends without one.
    pub(super) async fn first_line(&self, id: &str, limit: Duration) -> Result<Option<String>, StepError> {
        let docker = self.engine.client().await?;
        let options = LogsOptionsBuilder::default().stdout(true).follow(true).build();
        let mut stream = std::pin::pin!(docker.logs(id, Some(options)));
        let mut splitter = Splitter::default();
        let read = async {
            while let Some(output) = stream.next().await {
                let output = output.map_err(|error| StepError::from(self.engine.explain(error)))?;
                if let Some(line) = splitter.take(&output).into_iter().next() {
                    return Ok(Some(line));
                }
            }
            Ok(splitter.rest().into_iter().next())
        };
        match tokio::time::timeout(limit, read).await {
            Ok(answer) => answer,
            Err(_) => Ok(None),
        }
    }
}

fn options(lines: usize, follow: bool) -> bollard::query_parameters::LogsOptions {
    let tail = lines.min(LINES).to_string();
    LogsOptionsBuilder::default().stdout(true).stderr(true).follow(follow).tail(&tail).build()
}

/// Output → lines, the two streams kept apart until each ends its line.
#[derive(Default)]
struct Splitter {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Splitter {
    fn take(&mut self, output: &LogOutput) -> Vec<String> {
        let buffer = match output {
            LogOutput::StdErr { .. } => &mut self.err,
            LogOutput::StdOut { .. } | LogOutput::StdIn { .. } | LogOutput::Console { .. } => &mut self.out,
        };
        let mut lines = Vec::new();
        for &byte in output.as_ref() {
            if byte == b'\n' {
                lines.push(text(buffer));
                buffer.clear();
            } else if buffer.len() < LINE_BYTES {
                buffer.push(byte);
            }
        }
        lines
    }

    /// What was written without a line's end.
    fn rest(&mut self) -> Vec<String> {
        [std::mem::take(&mut self.out), std::mem::take(&mut self.err)]
            .iter()
            .filter(|buffer| !buffer.is_empty())
            .map(|buffer| text(buffer))
            .collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(bytes)).into_owned()
}

/// The last lines, whatever comes.
struct Kept {
    splitter: Splitter,
    lines: VecDeque<String>,
    most: usize,
}

impl Kept {
    fn new(most: usize) -> Self {
        Kept { splitter: Splitter::default(), lines: VecDeque::new(), most }
    }

    fn take(&mut self, output: &LogOutput) {
        let lines = self.splitter.take(output);
        self.push(lines);
    }

    fn push(&mut self, lines: Vec<String>) {
        self.lines.extend(lines);
        while self.lines.len() > self.most {
            self.lines.pop_front();
        }
    }

    fn finish(mut self) -> Vec<String> {
        let rest = self.splitter.rest();
        self.push(rest);
        self.lines.into()
    }
}

#[cfg(test)]
mod tests {
    use bollard::container::LogOutput;

    use super::{Kept, LINE_BYTES};

    fn out(text: &str) -> LogOutput {
        LogOutput::StdOut { message: text.to_owned().into() }
    }

    #[test]
    fn lines_are_put_together_and_streams_kept_apart() {
        let mut kept = Kept::new(10);
        kept.take(&out("one\ntw"));
        kept.take(&LogOutput::StdErr { message: "error\r\n".into() });
        kept.take(&out("o\nlast"));
        assert_eq!(kept.finish(), ["one", "error", "two", "last"]);
    }

    #[test]
    fn output_is_bounded_in_lines_and_in_width() {
        let mut kept = Kept::new(2);
        kept.take(&out("a\nb\nc\n"));
        kept.take(&out(&"x".repeat(3 * LINE_BYTES)));
        let lines = kept.finish();
        assert_eq!((lines.len(), lines[0].as_str(), lines[1].len()), (2, "c", LINE_BYTES));
    }
}
