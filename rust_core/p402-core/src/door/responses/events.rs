//! Decides how a chat's chunks become the named events of a Responses stream, item by item.
//! Does not hold content back; calls stay open to the end, since their arguments may interleave.

use super::item::{Item, Kind};
use super::response::{Echo, status};
use crate::dialect::wire::json::{quoted, text_of};
use crate::dialect::wire::object::Object;
use crate::door::ending::{Ending, choice};
use crate::door::listen::{Listen, Tell, hear};

/// Longest answer that is put together for the last event; one that came whole has this bound too.
const ANSWER_BYTES_MAX: usize = 32 << 20;
const TOO_LONG: &str = concat!(
    r#"{"message":"the answer is too long to be repeated in its last event","#,
    r#""type":"upstream_error","param":null,"code":"upstream_stream_malformed"}"#
);

/// One stream on its way out.
#[derive(Debug)]
pub(super) struct Events {
    echo: Echo,
    out: Vec<u8>,
    sequence: u64,
    /// What item ids have in common.
    stem: String,
    /// Items that are being written, in the order of the output.
    open: Vec<Item>,
    /// Whole ones, by their place; a place is empty until its item is whole.
    done: Vec<Vec<u8>>,
    bytes: usize,
    /// How likely the tokens of the next text are, as items of a list.
    likely: Vec<u8>,
}

impl Events {
    pub(super) fn new(echo: Echo) -> Self {
        Self {
            echo,
            out: Vec::new(),
            sequence: 0,
            stem: String::new(),
            open: Vec::new(),
            done: Vec::new(),
            bytes: 0,
            likely: Vec::new(),
        }
    }

    fn event(&mut self, name: &str, members: &[(&str, &[u8])]) {
        let head = format!(
            "event: {name}\ndata: {{\"type\":\"{name}\",\"sequence_number\":{}",
            self.sequence
        );
        self.sequence += 1;
        self.out.extend_from_slice(head.as_bytes());
        for (key, json) in members {
            self.out.extend_from_slice(format!(",\"{key}\":").as_bytes());
            self.out.extend_from_slice(json);
        }
        self.out.extend_from_slice(b"}\n\n");
    }

    /// An event about one item; all but calls have one part.
    fn of_item(&mut self, name: &str, item: &Item, members: &[(&str, &[u8])]) {
        let (id, index) = (quoted(&item.id), item.index.to_string());
        let mut all: Vec<(&str, &[u8])> =
            vec![("item_id", &id), ("output_index", index.as_bytes())];
        if !item.is_call() {
            all.push(("content_index", b"0"));
        }
        all.extend_from_slice(members);
        self.event(name, &all);
    }

    fn start(&mut self, prefix: &str, kind: Kind) {
        let index = self.done.len();
        self.done.push(Vec::new());
        let id = format!("{prefix}{}_{index}", self.stem);
        let item = Item { id, index, said: String::new(), likely: Vec::new(), kind };
        let json = item.write(false, false);
        let place = index.to_string();
        self.event(
            "response.output_item.added",
            &[("output_index", place.as_bytes()), ("item", &json)],
        );
        if !item.is_call() {
            self.of_item("response.content_part.added", &item, &[("part", &item.part())]);
        }
        self.open.push(item);
    }

    /// Ends the open items that are no calls; at the end the calls too.
    fn close(&mut self, calls_too: bool) {
        let (kept, ended): (Vec<Item>, Vec<Item>) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(|item| item.is_call() && !calls_too);
        self.open = kept;
        for item in ended {
            let (stem, key) = item.words();
            let text = quoted(item.whole_text());
            let mut members: Vec<(&str, &[u8])> = vec![(key, &text)];
            let besides = item.besides();
            members.extend(besides.as_ref().map(|(name, json)| (*name, json.as_ref())));
            self.of_item(&format!("{stem}.done"), &item, &members);
            if !item.is_call() {
                self.of_item("response.content_part.done", &item, &[("part", &item.part())]);
            }
            let (json, place) = (item.write(true, self.echo.seals), item.index.to_string());
            self.event(
                "response.output_item.done",
                &[("output_index", place.as_bytes()), ("item", &json)],
            );
            if let Some(slot) = self.done.get_mut(item.index) {
                *slot = json;
            }
        }
    }

    /// The open item that this belongs to; another one is ended and a new one begun.
    fn ensure(&mut self, prefix: &str, kind: Kind) {
        let same =
            |item: &Item| std::mem::discriminant(&item.kind) == std::mem::discriminant(&kind);
        if !self.open.last().is_some_and(same) {
            self.close(false);
            self.start(prefix, kind);
        }
    }

    /// More of the last open item, or of the call of this number.
    fn more(&mut self, call: Option<u64>, json: &[u8]) {
        self.bytes = self.bytes.saturating_add(json.len());
        let belongs = |item: &Item| item.number() == call;
        let Some(at) = self.open.iter().rposition(belongs) else { return };
        let Some(item) = self.open.get_mut(at) else { return };
        if self.bytes <= ANSWER_BYTES_MAX {
            item.said.push_str(&text_of(json).unwrap_or_default());
            item.add_likely(&self.likely);
        }
        // Written in one go: of these events there are as many as words.
        let (name, part, end) = item.delta_words();
        let head = format!(
            "event: {name}\ndata: {{\"type\":\"{name}\",\"sequence_number\":{},\
             \"item_id\":\"{}\",\"output_index\":{}{part}",
            self.sequence, item.id, item.index
        );
        self.sequence += 1;
        let is_text = matches!(item.kind, Kind::Text);
        let likely: &[u8] = if is_text { &self.likely } else { b"" };
        for piece in [head.as_bytes(), likely, end.as_bytes(), b",\"delta\":", json, b"}\n\n"] {
            self.out.extend_from_slice(piece);
        }
        if is_text {
            self.likely.clear();
        }
    }
}

impl Listen for Events {
    fn text(&mut self, json: &[u8]) {
        self.ensure("msg_", Kind::Text);
        self.more(None, json);
    }

    fn refusal(&mut self, json: &[u8]) {
        self.ensure("msg_", Kind::Refusal);
        self.more(None, json);
    }

    fn probabilities(&mut self, items: &[u8]) {
        self.bytes = self.bytes.saturating_add(items.len());
        self.likely.clear();
        self.likely.extend_from_slice(items);
    }

    fn reasoning(&mut self, json: &[u8]) {
        self.ensure("rs_", Kind::Reasoning(Vec::new()));
        self.more(None, json);
    }

    fn thought(&mut self, detail: &Object<'_>) {
        self.ensure("rs_", Kind::Reasoning(Vec::new()));
        let json = detail.write();
        self.bytes = self.bytes.saturating_add(json.len());
        if let Some(Kind::Reasoning(thoughts)) = self.open.last_mut().map(|item| &mut item.kind)
            && self.bytes <= ANSWER_BYTES_MAX
        {
            thoughts.push(json);
        }
    }

    fn call(&mut self, index: u64, id: &[u8], name: &[u8]) {
        self.close(false);
        let (call_id, name) = (id.to_vec(), name.to_vec());
        self.start("fc_", Kind::Call { number: index, call_id, name });
    }

    fn arguments(&mut self, index: u64, json: &[u8]) {
        self.more(Some(index), json);
    }

    fn custom(&mut self, index: u64, id: &[u8], name: &[u8]) {
        self.close(false);
        let (call_id, name) = (id.to_vec(), name.to_vec());
        self.start("ctc_", Kind::Custom { number: index, call_id, name });
    }

    fn input(&mut self, index: u64, json: &[u8]) {
        self.more(Some(index), json);
    }
}

impl Tell for Events {
    fn begin(&mut self, ending: &Ending) {
        self.stem = ending.named("");
        let early = Ending { metadata: None, finish: String::new(), ..ending.clone() };
        let response = self.echo.response(&early, ("in_progress", &[]));
        self.event("response.created", &[("response", &response)]);
        self.event("response.in_progress", &[("response", &response)]);
    }

    fn end(&mut self, ending: &Ending) {
        if self.bytes > ANSWER_BYTES_MAX {
            return self.fail(TOO_LONG.as_bytes(), ending);
        }
        self.close(true);
        let status = status(&ending.finish);
        let response = self.echo.response(ending, (status, &self.done));
        self.event(&format!("response.{status}"), &[("response", &response)]);
    }

    fn fail(&mut self, error: &[u8], ending: &Ending) {
        let inner = Object::parse(error).unwrap_or_default();
        let mut members = vec![
            ("code", inner.get("code").unwrap_or(b"null")),
            ("message", inner.literal("message")),
            ("param", inner.get("param").unwrap_or(b"null")),
            ("error", error),
        ];
        if let Some(metadata) = &ending.metadata {
            members.push(("p402_metadata", metadata));
        }
        self.event("error", &members);
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// A whole answer is told as a stream of one chunk, of which only the last word is kept.
    fn whole(&self, completion: &[u8]) -> Vec<u8> {
        let top = Object::parse(completion).unwrap_or_default();
        let ending = Ending::of(&top);
        let mut events = Self::new(self.echo.clone());
        events.stem = ending.named("");
        let choice = choice(&top).unwrap_or_default();
        hear(&choice, "message", &mut events);
        events.close(true);
        self.echo.response(&ending, (status(&ending.finish), &events.done))
    }
}
