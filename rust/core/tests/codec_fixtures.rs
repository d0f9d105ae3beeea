//! ipld/codec-fixtures: 128 values, each in dag-cbor and dag-json, some in dag-pb. Every block must be read, and written again in
//! every other codec under the very CID that its file is named after.
//!
//! The data are not ours and not in the repository: `.ci/fixtures` fetches them into SHOAL_FIXTURES. Where that is unset, a few
//! values stand in whose CIDs Kubo made; where it is set and the data are missing, the test fails.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail where it likes")]
#![expect(clippy::disallowed_methods, reason = "fixtures are files")]

use shoal_core::Cid;
use shoal_core::cid::codec::{self, DAG_CBOR, DAG_JSON, DAG_PB};
use shoal_core::dag::{self, Budget, DagError, Reason, cbor};
use shoal_core::hash::{Hash, cid_v1};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A value's blocks by codec.
type Blocks = BTreeMap<u64, (Cid, Vec<u8>)>;

fn folder(name: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("SHOAL_FIXTURES")?).join(name);
    assert!(folder.is_dir(), "{} is missing: run .ci/fixtures (it reads SHOAL_FIXTURES, too)", folder.display());
    Some(folder)
}

fn fixtures() -> Option<BTreeMap<String, Blocks>> {
    let mut fixtures = BTreeMap::new();
    for value in std::fs::read_dir(folder("codecs")?).unwrap() {
        let value = value.unwrap();
        let mut blocks = Blocks::new();
        for file in std::fs::read_dir(value.path()).unwrap() {
            let path = file.unwrap().path();
            let cid: Cid = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
            let code = codec::from_name(path.extension().unwrap().to_str().unwrap()).unwrap();
            blocks.insert(code, (cid, std::fs::read(&path).unwrap()));
        }
        fixtures.insert(value.file_name().into_string().unwrap(), blocks);
    }
    Some(fixtures)
}

/// Reads each block and writes it in each codec there is; says how many crossings that were.
fn cross(name: &str, blocks: &Blocks) -> usize {
    for (&from, (_, block)) in blocks {
        let value = dag::decode(from, block).unwrap_or_else(|e| panic!("{name} from 0x{from:x}: {e}"));
        assert_eq!(dag::decode_relaxed(from, block).as_ref(), Ok(&value), "{name}");
        for (&to, (cid, expected)) in blocks {
            let written = dag::encode(to, &value).unwrap_or_else(|e| panic!("{name} from 0x{from:x} to 0x{to:x}: {e}"));
            assert_eq!(&written, expected, "{name} from 0x{from:x} to 0x{to:x}");
            assert_eq!(&cid_v1(Hash::Sha256, to, &written).unwrap(), cid, "{name} from 0x{from:x} to 0x{to:x}");
        }
        let (mut found, mut expected) = (Vec::new(), value.links().cloned().collect::<Vec<_>>());
        dag::links(from, block, &mut found).unwrap();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{name} from 0x{from:x}");
    }
    blocks.len() * blocks.len()
}

#[test]
fn every_fixture_crosses_from_every_codec_to_every_other() {
    let Some(fixtures) = fixtures() else { return };
    assert_eq!(fixtures.len(), 128);
    let count = |code| fixtures.values().filter(|blocks| blocks.contains_key(&code)).count();
    assert_eq!([DAG_CBOR, DAG_JSON, DAG_PB].map(count), [128, 128, 17]);
    let crossings: usize = fixtures.iter().map(|(name, blocks)| cross(name, blocks)).sum();
    assert_eq!(crossings, 111 * 4 + 17 * 9);
}

/// CIDs by `ipfs dag put --store-codec … --input-codec dag-json` of Kubo 0.42; the JSON is the dag-json block.
#[test]
fn values_whose_cids_kubo_made_cross_from_every_codec_to_every_other() {
    let values = [
        (
            "null",
            "bafyreifqwkmiw256ojf2zws6tzjeonw6bpd5vza4i22ccpcq4hjv2ts7cm",
            "baguqeeraoqru5gfp45ey7no26hzwvqwxrlgdhfde7fihao4magmjf6mcxefq",
        ),
        (
            "true",
            "bafyreibhvppn37ufanewvxvwendgzksh3jpwhk6sxrx2dh3m7s3t5t7noa",
            "baguqeeraww7kig3mmi7xycprx4snzlsy5ovtydg5scwzm26ehjc3isdh4evq",
        ),
        (
            "[]",
            "bafyreidwx2fvfdiaox32v2mnn6sxu3j4qoxeqcuenhtgrv5qv6litfnmoe",
            "baguqeeraj5j43immfovaya2uxnpzupwl4xwrfk2nryi3vbz4f4irmeqcxfcq",
        ),
        (
            "{}",
            "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua",
            "baguqeeraiqjw7i2vwntyuekgvulpp2det2kpwt6cd7tx5ayqybqpmhfk76fa",
        ),
        (
            "-9223372036854775808",
            "bafyreidh4mvwi7pnv62beigtnibakkxpsgjzua5g7kdvu2deltah6kigay",
            "baguqeeraqu4gi57tv5d6jiftbdxdwotirxyw5czcfaif3v6u3tkcvgahzn4a",
        ),
        (
            "0.5",
            "bafyreifwqkffcpzsyfigri7xm2kaf6bz7si5stsnf46jep5w5we7ngmgma",
            "baguqeera2lf224p7gm66m7ih5rtw4njkw7zyeshlnheuffibk4ramb6fl2ca",
        ),
        (
            "-1e-7",
            "bafyreiegwuoqj27gu222buz6pvcq2x47jqu2nu34bdnbhqlpw6coktslre",
            "baguqeerajaitegf7zivkymemknprfricelilkzf6mvsxgetlwxoggodmzfpa",
        ),
        (
            "1e+21",
            "bafyreigvlu4an4krg35ii4bmcu5z6hwgmml2l46oblqydkzkoer53xyh2u",
            "baguqeeraeqoemq72ocy5zxqsaw3rxzhdx25rp2pyqdeodiz5b2wwyjzhdu6a",
        ),
        (
            "1.5e+300",
            "bafyreibaxl4fkwhnassvfbpso7myyebti24qulygfr4uxarjduqueqeiiy",
            "baguqeeraxjnz2ad62o5mhlwu4u776q4v5rxagsvqbduqs2jipy5yqygddmja",
        ),
        (
            r#""\u0001\n\"/é水𐅑""#,
            "bafyreialb4g4sst3hra5q5kmz7b2iz3k64yojeu77r3nxr26wefrzik2z4",
            "baguqeeraxmdt6hr4waacyqn54s4n7ozyeejwapsantbq2zo3eom5qdzsz5hq",
        ),
        (
            r#"{"/":{"bytes":"AAH/"}}"#,
            "bafyreibslq633fhbi5scavmf62jmtjrr7v7feolv5ukvdnqcosovejecbm",
            "baguqeeraf4syybtwbfdrwpff2kvpzcurmfyrgpqp42wnivdzunax6zsfb2lq",
        ),
        (
            r#"{"/":"QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"}"#,
            "bafyreiem7dege3utox4l77e27fzekpy7ddmx37pm5zwh35zlunpwuswqya",
            "baguqeeram23fhlzri7phyw2dr5apvyyqwe7qu3fvfmwmfbuozxoy7lqehbuq",
        ),
        (
            r#"{"/":"bafkqaaa"}"#,
            "bafyreieeal74gd4ercj7xqeydj5b6mrp3mcmttbbmmb3ameirr5u25atnu",
            "baguqeerarffvowshe7i2z444guamnjxiclrabwe45wxairyf7mzsmd4d7sjq",
        ),
        (
            r#"{"a":[1,-1,0.5,null,true,{"b":{"/":{"bytes":"oQ"}},"c":{"/":"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"}}],"bb":"","c":2}"#,
            "bafyreicgxvopoanr7ejdqb6fnzynrd2v46xdoss3ytyrbgfj67ykwmfg74",
            "baguqeerajghfei7rjmz7dbabcmsyv4iz3fmrr4dd47cp4qzi56t2rk5wwida",
        ),
        (
            r#"{"!":{"/":1},"/":2,"aaa":3,"b":4}"#,
            "bafyreieydvbidki7qok6sp2ghi53nx75v73dbirtf4rlkutxpesu37qryu",
            "baguqeera2xtz6h5zhyfjsit6xmeokyjk3vyvkotzxnzlipakowa2sdeuzs7a",
        ),
        (
            "[[[[[[[[]]]]]]]]",
            "bafyreiasc6xzbvyuikemuvca6ggvs77f4xkawkreyrqojghn3c2s67bbfi",
            "baguqeeraz6sfyradssfw2o5xncoddkp6g4hnvezpjbrpkyg6vdsi2nmet7kq",
        ),
    ];
    for (json, in_cbor, in_json) in values {
        let value = dag::decode(DAG_JSON, json.as_bytes()).unwrap();
        let cbor = dag::encode(DAG_CBOR, &value).unwrap();
        let blocks = [(DAG_CBOR, (in_cbor.parse().unwrap(), cbor)), (DAG_JSON, (in_json.parse().unwrap(), json.into()))];
        assert_eq!(cross(json, &blocks.into()), 4);
    }
}

#[test]
fn torture_of_others_is_refused_by_its_depth_or_walked() {
    let Some(folder) = folder("torture") else { return };
    let generous = Budget { bytes_max: usize::MAX, items_max: usize::MAX, depth_max: usize::MAX };
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    for name in ["torture_nested_lists.dagcbor", "torture_nested_maps.dagcbor", "semi_torture_nested_lists.dagcbor"] {
        let block = read(name);
        let deep = |result: Result<(), DagError>| {
            assert!(matches!(result, Err(DagError::Malformed { reason: Reason::Depth, .. })), "{name}: {result:?}");
        };
        deep(cbor::decode_with(&block, &generous).map(drop));
        deep(cbor::links(&block, &mut Vec::new()));
    }
    let block = read("torture_cids.dagcbor");
    let mut links = Vec::new();
    cbor::links(&block, &mut links).unwrap();
    let value = cbor::decode_with(&block, &generous).unwrap();
    assert_eq!(links.len(), 100_000);
    assert!(value.links().eq(&links));
    assert_eq!(cbor::encode(&value), Ok(block));
}
