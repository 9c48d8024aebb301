//! What a search asks for, checked.

use serde::Deserialize;
use tombolo_search::{Filter, Order, PageOptions};
use utoipa::ToSchema;

use super::body::is_data_uri;
use super::error::ApiError;
use crate::query::{Likened, Question, Shape, Sort};

/// Hits on a page, at most.
const MAX_TOP: usize = 1_000;
/// Texts and photos that may be added, and subtracted.
const MAX_TERMS: usize = 16;
/// Bytes of a text that a tower reads.
const MAX_TEXT: usize = 16 << 10;

/// What to look for. Without query, image, item and add: all photos, the newest first.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// Words, or a set expression: `dog AND beach`, `(cat OR kitten) AND NOT indoors`, `image:ID AND "in the snow"`
    query: Option<String>,
    /// A photo to look for the like of, as a data URI
    image: Option<String>,
    /// The id of a photo of the library to look for the like of
    item: Option<String>,
    /// A text or the data URI of a photo that pulls, or several
    add: Option<OneOrMore>,
    /// A text or the data URI of a photo that pushes, or several
    subtract: Option<OneOrMore>,
    /// Hits on a page, from 1 to 1,000; 10 if absent
    #[schema(minimum = 1, maximum = 1000)]
    top: Option<usize>,
    /// Only photos that match words or an expression at least with this probability
    #[schema(minimum = 0, maximum = 1)]
    min_probability: Option<f64>,
    /// Photos that may be found at all
    filter: Option<FilterRequest>,
    /// In which order
    sort: Option<Sort>,
    /// The `next` of the page before
    after: Option<String>,
    /// Whether to count the hits of all pages, which takes a look at every record
    #[serde(default)]
    count: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::More(texts) => texts,
        }
    }
}

/// Which photos may be found at all.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FilterRequest {
    /// A pattern of the whole path: `*` for any characters, `?` for one
    path: Option<String>,
    /// A folder that the photo lies in or below
    folder: Option<String>,
    /// Taken then or later: `2019`, `2019-05`, `2019-05-31`, `2019-05-31T18:03:59`
    taken_from: Option<String>,
    /// Taken then or before
    taken_to: Option<String>,
    /// Columns, at least
    min_width: Option<u32>,
    /// Rows, at least
    min_height: Option<u32>,
    /// Which side is longer
    orientation: Option<Shape>,
    /// What the camera's name contains
    camera: Option<String>,
    /// Tags, all of which the photo has
    #[serde(default)]
    tags: Vec<String>,
}

impl From<FilterRequest> for Filter {
    fn from(request: FilterRequest) -> Self {
        Self {
            path: request.path,
            folder: request.folder,
            taken_from: request.taken_from,
            taken_to: request.taken_to,
            min_width: request.min_width,
            min_height: request.min_height,
            orientation: request.orientation.map(Shape::orientation),
            camera: request.camera,
            tags: request.tags,
        }
    }
}

/// What is asked for, every part within its bounds.
pub struct Asking {
    /// Words, and texts that pull or push.
    pub question: Question,
    /// The data URIs of photos that pull or push.
    pub photos: Vec<(Pull, String)>,
    /// The id of a photo of the library that pulls.
    pub item: Option<String>,
    /// Which hits are wanted.
    pub wish: Wish,
}

/// Which hits are wanted.
pub struct Wish {
    /// Hits on the page.
    pub top: usize,
    /// The least probability of a match.
    pub min_probability: Option<f64>,
    /// Filter, order and place; the least score is not known yet.
    pub which: PageOptions,
}

/// Which way something moves a query.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// Towards it.
    Plus,
    /// Away from it.
    Minus,
}

impl SearchRequest {
    /// # Errors
    /// 422, naming the field.
    pub fn check(mut self) -> Result<Asking, ApiError> {
        let question = Question::of_words(self.query.as_deref().unwrap_or_default())?;
        let mut asking =
            Asking { question, photos: Vec::new(), item: self.item.take(), wish: self.wish()? };
        asking.photos.extend(self.image.take().map(|uri| (Pull::Plus, uri)));
        asking.take("add", Pull::Plus, self.add)?;
        asking.take("subtract", Pull::Minus, self.subtract)?;
        if self.sort.is_none() && asking.is_empty() {
            asking.wish.which.order = Order::Newest;
        }
        Ok(asking)
    }

    fn wish(&mut self) -> Result<Wish, ApiError> {
        let top = self.top.unwrap_or(10);
        if !(1..=MAX_TOP).contains(&top) {
            return Err(ApiError::invalid("top", format!("expected 1 to {MAX_TOP}, found {top}")));
        }
        let min_probability = self.min_probability;
        if let Some(found) = min_probability.filter(|p| !(0.0..=1.0).contains(p)) {
            let message = format!("expected a number from 0 to 1, found {found}");
            return Err(ApiError::invalid("min_probability", message));
        }
        let order = self.sort.unwrap_or(Sort::Match).order();
        let filter = Filter::from(self.filter.take().unwrap_or_default());
        filter.check()?;
        let after = self.after.as_deref().map(str::parse).transpose()?;
        let which = PageOptions { filter, least: None, order, after, count: self.count };
        Ok(Wish { top, min_probability, which })
    }
}

impl Asking {
    /// Whether nothing is asked for.
    fn is_empty(&self) -> bool {
        self.question.is_empty() && self.photos.is_empty() && self.item.is_none()
    }

    /// Takes in what is added or subtracted.
    fn take(
        &mut self,
        param: &'static str,
        pull: Pull,
        terms: Option<OneOrMore>,
    ) -> Result<(), ApiError> {
        let terms = terms.map(OneOrMore::into_vec).unwrap_or_default();
        if terms.len() > MAX_TERMS {
            return Err(ApiError::invalid(param, format!("expected at most {MAX_TERMS}")));
        }
        for term in terms {
            if is_data_uri(&term) {
                self.photos.push((pull, term));
            } else {
                check_text(param, &term)?;
                self.question.side(pull == Pull::Plus).push(Likened::Text(term));
            }
        }
        Ok(())
    }
}

/// Refuses what is no text for a tower.
pub fn check_text(param: &'static str, text: &str) -> Result<(), ApiError> {
    if text.trim().is_empty() || text.len() > MAX_TEXT {
        let message = format!("expected words, at most {MAX_TEXT} bytes of them");
        return Err(ApiError::invalid(param, message));
    }
    Ok(())
}
