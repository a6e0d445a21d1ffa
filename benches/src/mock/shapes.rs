//! Decides the bytes of every reply, once per model: real OpenAI shapes, fixed ids and times.
//! Deliberately builds nothing per request: a reply is a list of prepared sends.

use super::behaviour::{Behaviour, Fault};
use bytes::Bytes;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

const CREATED: u64 = 1_795_305_600;
const PROMPT_TOKENS: u32 = 42;
const WORDS: [&str; 8] = ["every ", "answer ", "from ", "here ", "is ", "the ", "same ", "text, "];

/// One `send`, after a pause.
#[derive(Clone, Debug)]
pub struct Step {
    pub after: Duration,
    pub bytes: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    KeepAlive,
    Close,
    Reset,
    Hang,
}

#[derive(Clone, Debug)]
pub struct Script {
    pub steps: Vec<Step>,
    pub end: End,
}

/// Everything one model can answer.
#[derive(Debug)]
pub struct Scripts {
    pub behaviour: Behaviour,
    plain: Rc<Script>,
    stream: Rc<Script>,
    stream_usage: Rc<Script>,
    fault: [Rc<Script>; 2],
}

impl Scripts {
    pub fn new(model: &str, behaviour: Behaviour) -> Self {
        let healthy = |streams: Option<bool>| {
            Rc::new(match streams {
                None => plain(model, &behaviour),
                Some(usage) => stream(model, &behaviour, usage),
            })
        };
        let fault = |streams| Rc::new(faulty(model, &behaviour, streams));
        Self {
            behaviour,
            plain: healthy(None),
            stream: healthy(Some(false)),
            stream_usage: healthy(Some(true)),
            fault: [fault(false), fault(true)],
        }
    }

    pub fn pick(&self, streams: bool, usage: bool, fails: bool) -> Rc<Script> {
        let [fault_plain, fault_stream] = &self.fault;
        Rc::clone(match (fails, streams, usage) {
            (true, false, _) => fault_plain,
            (true, true, _) => fault_stream,
            (false, false, _) => &self.plain,
            (false, true, false) => &self.stream,
            (false, true, true) => &self.stream_usage,
        })
    }
}

/// An error in the provider's own form, for faults and for requests the mock cannot read.
pub fn error(status: u16, message: &str) -> Script {
    let (reason, kind, extra) = match status {
        401 => ("Unauthorized", "invalid_api_key", ""),
        403 => ("Forbidden", "permission_denied", ""),
        404 => ("Not Found", "model_not_found", ""),
        429 => ("Too Many Requests", "rate_limit_exceeded", "retry-after: 1\r\n"),
        500 => ("Internal Server Error", "server_error", ""),
        502 => ("Bad Gateway", "server_error", ""),
        503 => ("Service Unavailable", "server_error", ""),
        _ => ("Bad Request", "invalid_request_error", ""),
    };
    let body = serde_json::json!({
        "error": {"message": message, "type": kind, "param": null, "code": kind}
    });
    one_send(&format!("{status} {reason}"), extra, &body.to_string())
}

/// A small 200 outside chat: health and counters.
pub fn page(body: &str) -> Script {
    one_send("200 OK", "", body)
}

fn one_send(status: &str, extra: &str, body: &str) -> Script {
    let bytes = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{extra}\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    Script { steps: vec![Step { after: Duration::ZERO, bytes: bytes.into() }], end: End::KeepAlive }
}

fn faulty(model: &str, behaviour: &Behaviour, streams: bool) -> Script {
    let ends =
        |end| Script { steps: vec![Step { after: behaviour.ttft, bytes: Bytes::new() }], end };
    match behaviour.fault {
        Fault::None if streams => stream(model, behaviour, true),
        Fault::None => plain(model, behaviour),
        Fault::Status(status) => {
            let mut script = error(status, "this is what the mock was asked for");
            for step in &mut script.steps {
                step.after = behaviour.ttft;
            }
            script
        }
        Fault::Reset => ends(End::Reset),
        Fault::Hang => ends(End::Hang),
        Fault::Cut(events) if streams => {
            let mut script = stream(model, behaviour, true);
            script.steps.truncate(events as usize + 1); // the role event comes first
            script.end = End::Reset;
            script
        }
        Fault::Cut(_) => {
            let mut script = plain(model, behaviour);
            for step in &mut script.steps {
                step.bytes.truncate(step.bytes.len() * 2 / 3);
            }
            script.end = End::Reset;
            script
        }
    }
}

/// The body of a whole answer.
pub fn whole(model: &str, behaviour: &Behaviour) -> String {
    let text: String = (0..behaviour.contents).map(|i| piece(behaviour, i)).collect();
    format!(
        concat!(
            r#"{{"id":"chatcmpl-mock","object":"chat.completion","created":{},"model":{},"#,
            r#""choices":[{{"index":0,"message":{{"role":"assistant","content":{},"refusal":null,"#,
            r#""annotations":[]}},"logprobs":null,"finish_reason":"stop"}}],"usage":{},"#,
            r#""service_tier":"default","system_fingerprint":"fp_mock"}}"#
        ),
        CREATED,
        quoted(model),
        quoted(&text),
        usage(behaviour)
    )
}

fn plain(model: &str, behaviour: &Behaviour) -> Script {
    let body = whole(model, behaviour);
    let mut script = one_send("200 OK", closing(behaviour), &body);
    for step in &mut script.steps {
        step.after = behaviour.ttft;
    }
    script.end = if behaviour.close { End::Close } else { End::KeepAlive };
    script
}

/// The data of each event of a stream, with the pause before it.
pub fn frames(model: &str, behaviour: &Behaviour, with_usage: bool) -> Vec<(Duration, String)> {
    let mut frames = vec![(
        behaviour.ttft,
        chunk(model, r#"{"role":"assistant","content":"","refusal":null}"#, "null", with_usage),
    )];
    for i in 0..behaviour.contents {
        let delta = format!(r#"{{"content":{}}}"#, quoted(&piece(behaviour, i)));
        let after = if i == 0 { Duration::ZERO } else { behaviour.gap };
        frames.push((after, chunk(model, &delta, "null", with_usage)));
    }
    frames.push((Duration::ZERO, chunk(model, "{}", r#""stop""#, with_usage)));
    if with_usage {
        let tail = format!(r#""choices":[],"usage":{}"#, usage(behaviour));
        frames.push((Duration::ZERO, envelope(model, &tail)));
    }
    frames.push((Duration::ZERO, "[DONE]".to_owned()));
    frames
}

fn stream(model: &str, behaviour: &Behaviour, with_usage: bool) -> Script {
    let frames = frames(model, behaviour, with_usage);
    let last = frames.len() - 1;
    let mut steps = Vec::with_capacity(frames.len());
    for (i, (after, frame)) in frames.into_iter().enumerate() {
        let mut bytes = if i == 0 { stream_head(behaviour) } else { String::new() };
        // Writing to a String cannot fail.
        let _ = write!(bytes, "{:x}\r\ndata: {frame}\n\n\r\n", frame.len() + 8);
        if i == last {
            bytes.push_str("0\r\n\r\n");
        }
        steps.push(Step { after, bytes: bytes.into() });
    }
    Script { steps, end: if behaviour.close { End::Close } else { End::KeepAlive } }
}

fn stream_head(behaviour: &Behaviour) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
         cache-control: no-cache\r\n{}transfer-encoding: chunked\r\n\r\n",
        closing(behaviour)
    )
}

fn closing(behaviour: &Behaviour) -> &'static str {
    if behaviour.close { "connection: close\r\n" } else { "" }
}

fn chunk(model: &str, delta: &str, finish: &str, with_usage: bool) -> String {
    let usage = if with_usage { r#","usage":null"# } else { "" };
    let choice =
        format!(r#"{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}"#);
    let tail = format!(r#""choices":[{choice}]{usage}"#);
    envelope(model, &tail)
}

fn envelope(model: &str, tail: &str) -> String {
    format!(
        concat!(
            r#"{{"id":"chatcmpl-mock","object":"chat.completion.chunk","created":{},"#,
            r#""model":{},"service_tier":"default","system_fingerprint":"fp_mock",{}}}"#
        ),
        CREATED,
        quoted(model),
        tail
    )
}

fn usage(behaviour: &Behaviour) -> String {
    let out = behaviour.contents;
    format!(
        concat!(
            r#"{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"#,
            r#""prompt_tokens_details":{{"cached_tokens":0,"audio_tokens":0}},"#,
            r#""completion_tokens_details":{{"reasoning_tokens":0,"audio_tokens":0}}}}"#
        ),
        PROMPT_TOKENS,
        out,
        PROMPT_TOKENS + out
    )
}

fn piece(behaviour: &Behaviour, i: u32) -> String {
    let word = WORDS.iter().cycle().nth(i as usize % WORDS.len()).copied().unwrap_or_default();
    let Some(size) = behaviour.size else { return word.to_owned() };
    let each = size / behaviour.contents;
    let rest = if i == 0 { size % behaviour.contents } else { 0 };
    word.chars().cycle().take((each + rest) as usize).collect()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(script: &Script) -> String {
        script.steps.iter().map(|s| String::from_utf8_lossy(&s.bytes).into_owned()).collect()
    }

    #[test]
    fn twenty_frames_are_twenty_sends() {
        let behaviour = Behaviour::parse("mock-burst20").unwrap();
        let scripts = Scripts::new("mock-burst20", behaviour);
        let script = scripts.pick(true, true, false);
        assert_eq!(script.steps.len(), 20);
        assert_eq!(text(&script).matches("data: ").count(), 20);
        assert!(text(&script).ends_with("data: [DONE]\n\n\r\n0\r\n\r\n"));
    }

    #[test]
    fn size_is_the_size_of_the_content() {
        let behaviour = Behaviour::parse("mock-n3-size1000").unwrap();
        let whole: String = (0..3).map(|i| piece(&behaviour, i)).collect();
        assert_eq!(whole.len(), 1000);
    }
}
