//! Maps in closed form, with the regularisation that does best on the validation split.

use tombolo_models::map::{Map, Moments, Pairs};

use super::{Form, Found, Task};
use crate::error::Result;
use crate::run::Event;
use crate::settings::{MapKind, MapSettings, Regularisation};
use crate::stage::Context;

/// Shares of the mean variance that are tried for canonical correlations.
const TRIED: [f64; 6] = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// Those that are tried for ridge regression, which wants less.
const TRIED_FOR_RIDGE: [f64; 8] = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0];

/// The share where there is no validation split to choose on.
const UNCHOSEN: f64 = 0.5;

/// Ridge regression of image vectors on text vectors.
pub(super) struct Ridge;

/// Semi-orthogonal map of text vectors.
pub(super) struct Procrustes;

/// Regularised canonical correlation analysis.
pub(super) struct Cca;

impl Form for Ridge {
    fn find(&self, task: &Task<'_>, context: &mut Context<'_>) -> Result<Found> {
        let moments = moments(task);
        let form = |share| Ok(moments.ridge(share, task.device)?);
        regularised(task, &TRIED_FOR_RIDGE, form, context)
    }
}

impl Form for Procrustes {
    fn find(&self, task: &Task<'_>, _: &mut Context<'_>) -> Result<Found> {
        let map = moments(task).procrustes(task.device)?;
        Ok(Found { map, regularisation: None })
    }
}

impl Form for Cca {
    fn find(&self, task: &Task<'_>, context: &mut Context<'_>) -> Result<Found> {
        let moments = moments(task);
        let form = |share| Ok(moments.cca(task.settings.dim, share, task.device)?);
        regularised(task, &TRIED, form, context)
    }
}

/// How many maps are found to choose one of them.
pub(super) fn tries(settings: &MapSettings) -> usize {
    match (settings.regularisation, settings.kind) {
        (Regularisation::Chosen(_), MapKind::Ridge) => TRIED_FOR_RIDGE.len(),
        (Regularisation::Chosen(_), MapKind::Cca) => TRIED.len(),
        _ => 1,
    }
}

fn moments(task: &Task<'_>) -> Moments {
    let pairs = task.pairs;
    Moments::of(Pairs {
        texts: pairs.texts.as_slice(),
        text_dim: pairs.texts.dim(),
        images: pairs.image_rows(),
        image_dim: pairs.images.dim(),
        image_of_text: pairs.image_of_text,
    })
}

/// The map with the regularisation of the settings, or with the best of those tried.
fn regularised(
    task: &Task<'_>,
    tried: &[f64],
    form: impl Fn(f64) -> Result<Map>,
    context: &mut Context<'_>,
) -> Result<Found> {
    let fixed = |share| Ok(Found { map: form(share)?, regularisation: Some(share) });
    if let Regularisation::Share(share) = task.settings.regularisation {
        return fixed(share);
    }
    let mut best: Option<(f64, Found)> = None;
    for (done, &share) in (1..).zip(tried) {
        let found = fixed(share)?;
        let Some(recalls) = (task.validate)(&found.map)? else { return fixed(UNCHOSEN) };
        if best.as_ref().is_none_or(|(most, _)| recalls > *most) {
            best = Some((recalls, found));
        }
        context.logger.event(Event::Advance { done, loss: None });
    }
    match best {
        Some((_, found)) => Ok(found),
        None => fixed(UNCHOSEN),
    }
}
