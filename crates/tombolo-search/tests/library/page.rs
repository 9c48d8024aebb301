use tombolo_search::{
    Cursor, Expression, Filter, Library, Likeness, Odds, Order, Orientation, Page, PageOptions,
    SearchError, SearchOptions, Term, Wanted,
};

use crate::mean_colour::{Desk, vector_of};

/// Log odds 20·(score − ½).
const ODDS: Odds = Odds::Calibrated { slope: 20.0, intercept: -10.0 };

fn members(text: &str, odds: Odds) -> Wanted {
    let expression = Expression::parse(text).unwrap().try_map(&mut |term| match term {
        Term::Words(word) => {
            let colour = match word.as_str() {
                "red" => [255, 0, 0],
                "green" => [0, 255, 0],
                "blue" => [0, 0, 255],
                _ => return Err(word),
            };
            Ok(Likeness { vector: vector_of(colour).to_vec(), odds })
        }
        Term::Image(name) => Err(name),
    });
    Wanted::Members(expression.unwrap())
}

fn page(library: &Library, wanted: &Wanted, top: usize, which: &PageOptions) -> Page {
    let options = SearchOptions { top, ..Default::default() };
    library.page(wanted, &options, which).unwrap()
}

fn names(page: &Page) -> Vec<&str> {
    let stem = |path| std::path::Path::new(path).file_stem().unwrap().to_str().unwrap();
    page.hits.iter().map(|hit| stem(&hit.item.path)).collect()
}

fn all_pages(library: &Library, wanted: &Wanted, top: usize, which: &PageOptions) -> Vec<String> {
    let mut which = which.clone();
    let mut found = Vec::new();
    loop {
        let page = page(library, wanted, top, &which);
        found.extend(names(&page).into_iter().map(str::to_owned));
        match page.next {
            Some(next) => which.after = Some(next.to_string().parse().unwrap()),
            None => return found,
        }
    }
}

fn mixed() -> Desk {
    let desk = Desk::with_three();
    desk.paint("photos/yellow.png", [255, 255, 0]);
    desk.paint("photos/white.png", [255, 255, 255]);
    desk.index(&["photos"]);
    desk
}

#[test]
fn a_set_expression_finds_its_members() {
    let desk = mixed();
    let library = desk.library();
    let which = PageOptions { least: Some(0.0), ..Default::default() };
    let found = |text: &str| {
        let found = page(&library, &members(text, ODDS), 10, &which);
        names(&found).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(found("red AND green"), ["yellow", "white"]);
    assert_eq!(found("red AND green AND NOT blue"), ["yellow"]);
    assert_eq!(found("blue OR red AND NOT green"), ["red", "blue", "white"]);
    let all = page(&library, &members("red", ODDS), 10, &PageOptions::default());
    assert_eq!(all.hits.len(), 5, "without a bar all come");
    assert!(all.hits[0].score > 9.0 && all.hits[4].score < -9.0, "scores are log odds");
}

#[test]
fn what_is_not_calibrated_is_compared_with_the_library() {
    let desk = Desk::new();
    desk.paint("photos/odd.png", [255, 0, 0]);
    for shade in 0..30 {
        desk.paint(&format!("photos/{shade}.png"), [0, 100 + shade, 100]);
    }
    desk.index(&["photos"]);
    let found = page(&desk.library(), &members("red", Odds::Typical), 40, &PageOptions::default());
    let likely: Vec<_> = found.hits.iter().filter(|hit| hit.score > 0.0).collect();
    assert_eq!(likely.len(), 1);
    assert!(likely[0].item.path.ends_with("odd.png"));
}

#[test]
fn pages_hold_every_hit_once() {
    let desk = mixed();
    std::fs::copy(desk.path("photos/red.png"), desk.path("photos/rouge.png")).unwrap();
    std::fs::copy(desk.path("photos/red.png"), desk.path("photos/rojo.png")).unwrap();
    desk.index(&["photos"]);
    let library = desk.library();
    for wanted in
        [Wanted::Near(vector_of([200, 90, 10]).to_vec()), members("red", ODDS), Wanted::All]
    {
        for order in [Order::Match, Order::Newest, Order::Oldest] {
            let which = PageOptions { order, ..Default::default() };
            let whole = all_pages(&library, &wanted, 100, &which);
            assert_eq!(whole.len(), 7);
            for top in 1..6 {
                assert_eq!(all_pages(&library, &wanted, top, &which), whole);
            }
        }
    }
}

#[test]
fn pages_stay_while_the_library_grows() {
    let near = Wanted::Near(vector_of([255, 0, 0]).to_vec());
    for wanted in [near, members("red AND NOT blue", ODDS), members("red OR red", Odds::Typical)] {
        let desk = mixed();
        let library = desk.library();
        let first = page(&library, &wanted, 2, &PageOptions::default());
        let expected = page(&library, &wanted, 10, &PageOptions::default());
        for red in 240..250 {
            desk.paint(&format!("photos/crimson-{red}.png"), [red, 1, 1]);
        }
        // The first of all hits is forgotten, too.
        std::fs::remove_file(desk.path("photos/red.png")).unwrap();
        desk.index(&["photos"]);
        let which = PageOptions { after: first.next, ..Default::default() };
        let second = page(&library, &wanted, 20, &which);
        let old = names(&second).into_iter().filter(|name| !name.starts_with("crimson"));
        assert_eq!(old.collect::<Vec<_>>(), names(&expected)[2..]);
    }
}

#[test]
fn filters_go_by_the_record() {
    let desk = mixed();
    let mut writer = desk.writer();
    let path = |name: &str| desk.path(name).to_str().unwrap().to_owned();
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
    let red = (path("photos/red.png"), tags(&["warm", "plain"]));
    let blue = (path("photos/sub/blue.png"), tags(&["plain"]));
    writer.set_tags(&[red, blue]).unwrap();
    let library = desk.library();
    let found = |filter: Filter| {
        let which = PageOptions { filter, ..Default::default() };
        let mut found = all_pages(&library, &Wanted::All, 2, &which);
        found.sort();
        found
    };
    let none = Filter::default();
    assert_eq!(found(none.clone()).len(), 5);
    assert_eq!(found(Filter { path: Some("*/r?d.png".into()), ..none.clone() }), ["red"]);
    let folder = Filter { folder: Some(path("photos/sub")), ..none.clone() };
    assert_eq!(found(folder), ["blue"]);
    let half = Filter { folder: Some(path("photos/su")), ..none.clone() };
    assert!(found(half).is_empty(), "a folder is matched whole");
    assert_eq!(found(Filter { tags: tags(&["plain"]), ..none.clone() }), ["blue", "red"]);
    assert_eq!(found(Filter { tags: tags(&["plain", "warm"]), ..none.clone() }), ["red"]);
    let shape = |orientation| Filter { orientation: Some(orientation), ..none.clone() };
    assert_eq!(found(shape(Orientation::Landscape)).len(), 5);
    assert!(found(shape(Orientation::Portrait)).is_empty());
    assert_eq!(found(Filter { min_width: Some(8), min_height: Some(6), ..none.clone() }).len(), 5);
    assert!(found(Filter { min_width: Some(9), ..none.clone() }).is_empty());
    assert!(found(Filter { camera: Some("x".into()), ..none.clone() }).is_empty());
    assert!(found(Filter { taken_from: Some("1900".into()), ..none }).is_empty());
    assert_eq!(library.facets().unwrap().tags, ["plain", "warm"]);
    let folders = library.facets().unwrap().folders;
    assert_eq!(folders, [path("photos"), path("photos/sub")]);
}

#[test]
fn a_wrong_time_and_a_wrong_cursor_are_refused() {
    let desk = Desk::with_three();
    let library = desk.library();
    let attempt = |which: PageOptions| {
        library.page(&Wanted::All, &SearchOptions::default(), &which).unwrap_err()
    };
    let filter = Filter { taken_to: Some("yesterday".into()), ..Default::default() };
    let error = attempt(PageOptions { filter, ..Default::default() });
    assert!(matches!(error, SearchError::Time { field: "taken_to", .. }));
    let after = Some(Cursor::Moment("2020".into(), "x".into()));
    let error = attempt(PageOptions { after, ..Default::default() });
    assert!(matches!(error, SearchError::Cursor { .. }));
}

#[test]
fn hits_of_all_pages_are_counted_where_asked_for() {
    let desk = mixed();
    // The same bytes at another path share a row, and are a hit more.
    std::fs::copy(desk.path("photos/red.png"), desk.path("photos/red again.png")).unwrap();
    desk.index(&["photos"]);
    let library = desk.library();
    let total = |wanted: &Wanted, which: PageOptions| {
        let page = page(&library, wanted, 2, &PageOptions { count: true, ..which.clone() });
        let found = all_pages(&library, wanted, 2, &which).len();
        assert_eq!(page.total, Some(found));
        found
    };
    assert_eq!(total(&Wanted::All, PageOptions::default()), 6);
    let near = Wanted::Near(vector_of([255, 0, 0]).to_vec());
    assert_eq!(total(&near, PageOptions::default()), 6);
    let enough = PageOptions { least: Some(0.0), ..Default::default() };
    assert_eq!(total(&members("red", ODDS), enough.clone()), 4, "red twice, yellow and white");
    for order in [Order::Newest, Order::Oldest] {
        assert_eq!(total(&members("red", ODDS), PageOptions { order, ..enough.clone() }), 4);
    }
    let filter = Filter { path: Some("*/red*".into()), ..Default::default() };
    assert_eq!(total(&near, PageOptions { filter, ..Default::default() }), 2);
    assert_eq!(page(&library, &near, 2, &PageOptions::default()).total, None);
}
