//! The same as Kubo: archives byte for byte, refs line by line, sizes. Runs when SHOAL_KUBO names its binary.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod dags;

use dags::{any_plan, bomb, build, new_store, node, operation, put_all};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use shoal_core::Cid;
use shoal_core::hash::Hash;
use shoal_store::archive::{ImportOptions, export_car, import_car};
use shoal_store::walk::{RefsOptions, refs, stat};
use shoal_store::{PinKind, Store};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

struct Kubo {
    binary: PathBuf,
    folder: tempfile::TempDir,
}

impl Kubo {
    /// None, and a word about it, where no binary is named.
    fn new() -> Option<Self> {
        let Some(binary) = std::env::var_os("SHOAL_KUBO") else {
            eprintln!("SHOAL_KUBO is not set: not compared with Kubo");
            return None;
        };
        let kubo = Self { binary: binary.into(), folder: tempfile::tempdir().unwrap() };
        kubo.run(&["init", "--profile=unixfs-v1-2025,test"], b"");
        Some(kubo)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = Command::new(&self.binary);
        command.args(arguments).env("IPFS_PATH", self.path("repo")).env("IPFS_TELEMETRY", "off");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(input));
            child.wait_with_output().unwrap()
        });
        assert!(output.status.success(), "ipfs {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn line(&self, arguments: &[&str], input: &[u8]) -> String {
        String::from_utf8(self.run(arguments, input)).unwrap().trim().to_owned()
    }
}

fn exported(store: &Store, root: &Cid, version: u8) -> Vec<u8> {
    let mut out = Vec::new();
    export_car(store, std::slice::from_ref(root), &mut out, version, &operation()).unwrap();
    out
}

const PINNED: ImportOptions = ImportOptions { pin_roots: true, pin_name: None };

/// Some folders, a file of many blocks, an empty one, equal ones.
fn make_tree(folder: &Path) {
    for sub in ["a/b/c", "empty", "many"] {
        std::fs::create_dir_all(folder.join(sub)).unwrap();
    }
    let write = |name: &str, bytes: &[u8]| {
        let mut file = std::fs::File::create(folder.join(name)).unwrap();
        file.write_all(bytes).unwrap();
    };
    write("a/large", &dags::painted(1, 5_300_000));
    write("a/b/large again", &dags::painted(1, 5_300_000));
    write("a/b/c/zeros", &vec![0; 3_000_000]);
    write("a/none", b"");
    write("a/b/c/short", b"short");
    for n in 0..300 {
        write(&format!("many/{n:03}"), &dags::painted(n % 250, usize::try_from(n).unwrap() * 7));
    }
}

/// Everything that can be compared of a DAG that Kubo has.
fn compare(kubo: &Kubo, store: &Store, root: &Cid) {
    let text = root.to_string();
    assert!(exported(store, root, 1) == kubo.run(&["dag", "export", &text], b""), "export of {text} differs");
    let every = RefsOptions { is_recursive: true, is_unique: false, depth_max: None };
    let cases: [(&[&str], RefsOptions); 5] = [
        (&[], RefsOptions { is_recursive: false, ..every }),
        (&["-r"], every),
        (&["-r", "-u"], RefsOptions { is_unique: true, ..every }),
        (&["-r", "--max-depth=2"], RefsOptions { depth_max: Some(2), ..every }),
        (&["-r", "-u", "--max-depth=2"], RefsOptions { is_unique: true, depth_max: Some(2), ..every }),
    ];
    for (flags, options) in cases {
        let arguments = [&["refs", "--format=<src> <dst> <linkname>"], flags, &[text.as_str()]].concat();
        let lines: Vec<String> = refs(store, root, options, Arc::default())
            .map(|link| link.unwrap())
            .map(|link| format!("{} {} {}\n", link.parent, link.child, String::from_utf8_lossy(&link.name)))
            .collect();
        assert!(lines.concat().as_bytes() == kubo.run(&arguments, b""), "refs {flags:?} of {text} differ");
    }
    let found = stat(store, root, &operation()).unwrap();
    let theirs = kubo.line(&["dag", "stat", "--progress=false", "--enc=json", &text], b"");
    let wanted = format!("\"Cid\":\"{text}\",\"Size\":{},\"NumBlocks\":{}", found.bytes, found.blocks);
    assert!(theirs.contains(&wanted), "{theirs} has no {wanted}");
}

#[test]
fn what_kubo_adds_and_exports_comes_in_and_goes_out_again_the_same() {
    let Some(kubo) = Kubo::new() else { return };
    make_tree(&kubo.path("tree"));
    let tree = kubo.path("tree").to_str().unwrap().to_owned();
    let ways: [&[&str]; 6] = [
        &[],
        &["--hash=blake3"],
        &["--cid-version=0", "--raw-leaves=false", "--chunker=size-262144"],
        &["--inline", "--inline-limit=64"],
        &["--trickle", "--chunker=size-65536", "--max-file-links=20"],
        &["--max-directory-links=16", "--max-hamt-fanout=16"],
    ];
    for way in ways {
        let root = kubo.line(&[&["add", "-Q", "-r"], way, &[tree.as_str()]].concat(), b"");
        let root: Cid = root.parse().unwrap();
        let (_disk, store) = new_store();
        let car = kubo.run(&["dag", "export", &root.to_string()], b"");
        let imported = import_car(&store, &mut car.as_slice(), &PINNED, &operation()).unwrap();
        assert_eq!(imported.roots, std::slice::from_ref(&root));
        compare(&kubo, &store, &root);
    }
}

#[test]
fn nodes_of_dag_cbor_and_dag_json_are_walked_as_kubo_walks_them() {
    let Some(kubo) = Kubo::new() else { return };
    let leaf = kubo.line(&["add", "-Q"], b"leaf");
    let file = kubo.line(&["add", "-Q", "--chunker=size-100"], &dags::painted(3, 1000));
    let link = |cid: &str| format!("{{\"/\":\"{cid}\"}}");
    let value = format!("{{\"z\":[{},{{\"b\":{}}}],\"a\":{},\"n\":null,\"again\":{}}}", link(&leaf), link(&file), link(&file), link(&leaf));
    for codec in ["dag-cbor", "dag-json"] {
        let inner = kubo.line(&["dag", "put", "--store-codec", codec], value.as_bytes());
        let outer = format!("{{\"inner\":{},\"leaf\":{}}}", link(&inner), link(&leaf));
        let root: Cid = kubo.line(&["dag", "put", "--store-codec", codec], outer.as_bytes()).parse().unwrap();
        let (_disk, store) = new_store();
        let car = kubo.run(&["dag", "export", &root.to_string()], b"");
        import_car(&store, &mut car.as_slice(), &PINNED, &operation()).unwrap();
        compare(&kubo, &store, &root);
    }
}

#[test]
fn what_we_export_kubo_imports_pins_and_exports_the_same() {
    let Some(kubo) = Kubo::new() else { return };
    let mut runner = TestRunner::deterministic();
    let mut dags: Vec<Vec<dags::Block>> = Vec::new();
    for _ in 0..6 {
        let mut blocks = build(&any_plan(12, 3000).new_tree(&mut runner).unwrap().current());
        let all: Vec<Cid> = blocks.iter().map(|block| block.0.clone()).collect();
        blocks.push(node(Hash::Blake3, &all, b"root"));
        dags.push(blocks);
    }
    // Few levels: refs without `-u` lists all paths.
    let mut bomb = bomb(8);
    bomb.reverse();
    dags.push(bomb);
    for (n, blocks) in dags.iter().enumerate() {
        let (_disk, store) = new_store();
        put_all(&store, blocks);
        let root = &blocks.last().unwrap().0;
        let car = exported(&store, root, if n % 2 == 0 { 1 } else { 2 });
        let file = kubo.path("in.car");
        std::fs::File::create(&file).unwrap().write_all(&car).unwrap();
        let said = kubo.line(&["dag", "import", "--pin-roots", file.to_str().unwrap()], b"");
        assert!(said.contains("success"), "{said}");
        compare(&kubo, &store, root);
        // And back.
        let (_disk, other) = new_store();
        let back = kubo.run(&["dag", "export", &root.to_string()], b"");
        import_car(&other, &mut back.as_slice(), &PINNED, &operation()).unwrap();
        assert_eq!(other.pin(root).unwrap().unwrap().kind, PinKind::Recursive);
        assert_eq!(exported(&other, root, 1), exported(&store, root, 1));
    }
}
