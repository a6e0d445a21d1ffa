//! Decides in which order a noun phrase is read: `effects of aspirin` is `aspirin effects`.
//! Does not parse: runs of content words around a preposition, nothing else.

use super::token::Token;

/// After an article these, too, make the words after them the first: `a recipe for bread`.
const TURNING: &[&str] = &["for", "about"];
/// After these stems `of` says something else.
const BARRED: &[&str] = &["becaus", "out"];
/// What may stand between the preposition and its words.
const ARTICLES: &[&str] = &["the", "a", "an", "my", "your", "our", "some"];

/// The phrase that is being read, as places in the list of content words.
#[derive(Debug)]
pub(super) struct Phrase {
    /// Where the words before the preposition begin.
    head: Option<usize>,
    /// Where the words now read begin, and whether an article stands before them.
    run: Option<usize>,
    article: bool,
}

impl Phrase {
    /// Where a thing is asked for, the first words name it as if an article stood before them.
    pub(super) const fn new(thing: bool) -> Self {
        Self { head: None, run: None, article: thing }
    }

    /// A word has been read, and was content or not; whether words changed places.
    pub(super) fn passes(&mut self, folded: &str, added: bool, content: &mut [Token]) -> bool {
        let article = ARTICLES.contains(&folded);
        if added {
            self.run = self.run.or(Some(content.len() - 1));
            return false;
        }
        if self.run.is_none() && article {
            self.article = true;
            return false;
        }
        let turned = self.ends(content);
        let barred = content.last().is_some_and(|last| BARRED.contains(&last.stem()));
        let turning = folded == "of" && !barred || TURNING.contains(&folded) && self.article;
        self.head = self.run.take().filter(|_| turning);
        self.article = article;
        turned
    }

    /// The phrase is over: what followed the preposition goes first.
    pub(super) fn ends(&mut self, content: &mut [Token]) -> bool {
        let (Some(head), Some(run)) = (self.head.take(), self.run) else { return false };
        if let Some(both) = content.get_mut(head..) {
            both.rotate_left(run - head);
        }
        self.run = Some(head);
        true
    }
}
