//! Opening: various files in the place of the library.

use super::*;

#[test]
fn the_file_has_the_layout_that_was_measured() {
    let dir = TempDir::new();
    let library = writer(&dir);
    let settings = [
        ("page_size", 4096),
        ("auto_vacuum", 2),
        ("mmap_size", 0),
        ("cache_size", -500),
        ("wal_autocheckpoint", 1024),
        ("journal_size_limit", 8_388_608),
        ("foreign_keys", 1),
        ("user_version", schema::LATEST),
    ];
    for (name, value) in settings {
        assert_eq!(pragma(&library, name), value, "{name}");
    }
    let slot = library.db.lock().expect("nobody panicked");
    let db = slot.as_ref().expect("it is open");
    let mode = db.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
    assert_eq!(mode.expect("a setting"), "wal");
}

/// A crash between the making of the file and its first page leaves an empty file.
#[test]
fn an_empty_file_becomes_a_library() {
    let dir = TempDir::new();
    fs::write(dir.path().join("library.db"), "").expect("a writable directory");
    let mut library = writer(&dir);
    assert_eq!(pragma(&library, "page_size"), 4096);
    let (manifest, pieces) = song(1, &[10]);
    assert!(matches!(
        upload(&mut library, &manifest, &pieces),
        JobReply::Stored { .. }
    ));
}

/// The first identity stays. After a crash before it was written, the next start writes it.
#[test]
fn a_store_keeps_its_identity() {
    let dir = TempDir::new();
    drop(writer(&dir));
    Library::open(dir.path(), NODE, StoreId(1)).expect("its own library");
    let mut library = writer(&dir);
    let reply = library.run(LibraryJob::Overview);
    let overview = Overview {
        store: STORE,
        ..Overview::default()
    };
    assert_eq!(reply, JobReply::Overview(overview));

    sql(&library, "DELETE FROM meta");
    drop(library);
    let library = Library::open(dir.path(), NODE, StoreId(1)).expect("its own library");
    let reply = library
        .writer()
        .expect("it is open")
        .run(LibraryJob::Overview);
    let overview = Overview {
        store: StoreId(1),
        ..Overview::default()
    };
    assert_eq!(reply, JobReply::Overview(overview));
}

/// A reader opens the library when a disk is full, too: nothing is added to the log for that.
#[test]
fn a_library_opened_again_is_not_written_to() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (manifest, pieces) = song(1, &[10]);
    upload(&mut library, &manifest, &pieces);
    let log = || fs::metadata(dir.path().join("library.db-wal")).map(|log| log.len());
    let before = log().expect("the writer has one");
    drop(writer(&dir));
    assert_eq!(log().expect("the writer has one"), before);
}

#[test]
fn the_library_of_another_node_is_refused() {
    let dir = TempDir::new();
    drop(writer(&dir));
    let (said, untouched) = refusal(&dir, NodeId(0xdef));
    let owner = "it belongs to node 00000000000000000000000000000abc, not to";
    assert!(said.contains(owner), "{said}");
    assert!(untouched);
}

#[test]
fn a_later_schema_is_refused() {
    let dir = TempDir::new();
    let library = writer(&dir);
    sql(&library, "PRAGMA user_version = 77; DROP TABLE meta");
    drop(library);
    let (said, untouched) = refusal(&dir, NODE);
    let path = dir.path().join("library.db");
    let expected = format!(
        "open library {}: it has schema 77, this version knows up to {}: use a newer version",
        path.display(),
        schema::LATEST
    );
    assert_eq!(said, expected);
    assert!(untouched);
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let dir = TempDir::new();
    let path = dir.path().join("library.db");
    for garbage in ["xy", "this is no database ".repeat(5000).as_str()] {
        fs::write(&path, garbage).expect("a writable directory");
        let (said, untouched) = refusal(&dir, NODE);
        assert!(
            said.ends_with("it is not a library of dispotify: move it away"),
            "{said}"
        );
        assert!(untouched);
    }
    fs::remove_file(&path).expect("it is there");
    let foreign = Connection::open(&path).expect("a writable directory");
    foreign
        .execute_batch("CREATE TABLE bookmarks (url TEXT)")
        .expect("SQL");
    drop(foreign);
    let (said, untouched) = refusal(&dir, NODE);
    assert!(
        said.ends_with("it is not a library of dispotify: move it away"),
        "{said}"
    );
    assert!(untouched);
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let dir = TempDir::new();
    let absent = dir.path().join("absent");
    let error = Library::open(&absent, NODE, STORE).expect_err("nothing is there");
    let start = format!("open library {}: ", absent.join("library.db").display());
    assert!(error.to_string().starts_with(&start), "{error}");
}
