//! The objects that annotators outlined: `instances_*.json`.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;

use crate::DataError;
use crate::dataset::collection::Builder;
use crate::dataset::entries::{self, Entries, Entry};

const SHAPE: &str = "{\"categories\":[{\"id\":…,\"name\":…}],\"annotations\":[{\"id\":…,\"image_id\":…,\"category_id\":…}]}";

#[derive(Deserialize)]
struct Document {
    categories: Option<Entries<Category>>,
    annotations: Option<Entries<Object>>,
}

#[derive(Deserialize)]
struct Category {
    id: u64,
    name: String,
}

impl Entry for Category {
    const ARRAY: &'static str = "categories";
}

#[derive(Deserialize)]
struct Object {
    id: Option<u64>,
    image_id: u64,
    category_id: u64,
}

impl Entry for Object {
    const ARRAY: &'static str = "annotations";
}

/// What is seen on each photo.
#[derive(Default)]
pub(super) struct Instances {
    /// By the photo's number: how many objects, and the categories in the order of their annotations.
    photos: HashMap<u64, (usize, Vec<u64>)>,
    names: HashMap<u64, String>,
    /// The photos and numbers of the objects that were counted: files of two releases tell of the same.
    counted: HashSet<(u64, u64)>,
}

impl Instances {
    /// Adds a file. Outlines are passed over while reading, so memory is a few bytes an object.
    pub fn read(&mut self, path: &Path) -> Result<(), DataError> {
        let document: Document = entries::read(path, SHAPE)?;
        let lacks = |field| entries::lacks(path, field, SHAPE);
        let Entries(categories) = document.categories.ok_or_else(|| lacks("categories"))?;
        let Entries(objects) = document.annotations.ok_or_else(|| lacks("annotations"))?;
        self.names.extend(categories.into_iter().map(|category| (category.id, category.name)));
        for (index, object) in objects.into_iter().enumerate() {
            if !self.names.contains_key(&object.category_id) {
                return Err(DataError::InvalidField {
                    path: path.to_owned(),
                    place: crate::Place::Annotation(index),
                    field: "category_id",
                    expected: "an id of `categories`".into(),
                    found: object.category_id.to_string(),
                });
            }
            if object.id.is_some_and(|id| !self.counted.insert((object.image_id, id))) {
                continue;
            }
            let (count, categories) = self.photos.entry(object.image_id).or_default();
            *count += 1;
            if !categories.contains(&object.category_id) {
                categories.push(object.category_id);
            }
        }
        Ok(())
    }

    /// Gives photos their labels, and says how many objects they show.
    pub fn describe(&self, builder: &mut Builder) {
        if self.names.is_empty() {
            return;
        }
        let seen = |id: &str| self.photos.get(&super::number(id)?);
        let mut counts = [0_usize; 3];
        builder.label(|id| {
            let categories = seen(id).map_or(&[][..], |(_, categories)| categories);
            categories.iter().map(|category| self.names[category].clone()).collect()
        });
        let objects = |id: &str| seen(id).map_or(0, |(objects, _)| *objects);
        let objects: Vec<usize> = builder.images().iter().map(|image| objects(&image.id)).collect();
        for (index, objects) in objects.into_iter().enumerate() {
            counts[objects.min(2)] += 1;
            builder.count_objects(index, objects);
        }
        let [none, one, several] = counts;
        builder.fact(
            "objects",
            format!(
                "{several} images with several, {one} with one, {none} with none known, of {} categories",
                self.names.len()
            ),
        );
    }
}
