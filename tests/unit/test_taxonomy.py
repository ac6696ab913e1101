"""The taxonomy: its rules, the shipped table, its published form."""

from pathlib import Path

import pytest

from openrek.vision.labels.publish import published
from openrek.vision.labels.taxonomy import CATEGORIES, COLUMNS, Label, Taxonomy, TaxonomyError, taxonomy

ROOT = Path(__file__).parents[2]
ANIMALS = "Animals and Pets"


def label(name: str, *parents: str, **more: object) -> Label:
    return Label(name, more.pop("category", ANIMALS), parents, **more)


def test_ancestors_are_all_of_them_alphabetical() -> None:
    table = Taxonomy(
        [label("Dog", "Pet", "Canine"), label("Canine", "Mammal"), label("Mammal"), label("Pet", "Mammal")]
    )
    assert table["Dog"].ancestors == ("Canine", "Mammal", "Pet")
    assert table["Dog"].parents == ("Pet", "Canine")
    assert table["Mammal"].ancestors == ()
    assert list(table) == ["Canine", "Dog", "Mammal", "Pet"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([label("Dog"), label("Dog")], "'Dog' is written twice"),
        ([label("Dog", "Canine")], "'Dog' has the unknown parent 'Canine'"),
        ([label("A", "C"), label("B", "A"), label("C", "B")], "A -> C -> B -> A"),
        ([label("Dog", "Dog")], "Dog -> Dog"),
        ([label("Dog", category="Beasts")], "'Beasts', which is none of the forty"),
        ([label("Dog", aliases=("Hound",)), label("Hound")], "'Hound' is a label and an alias of 'Dog'"),
        ([label("Dog", aliases=("Dog",))], "'Dog' is a label and an alias of 'Dog'"),
        ([label("Dog", aliases=("Hund",)), label("Wolf", aliases=("Hund",))], "alias of both 'Dog' and 'Wolf'"),
        ([label("Dog & Cat")], "has a character that no filter accepts"),
        ([label("D" * 51)], "longer than 50"),
        ([label("")], "no filter accepts"),
        ([label("Dog", seen_by=("Tagger 5",))], "is not <source> or <source>:<class>"),
        ([label("Dog", seen_by=("tagger:5",)), label("Cat", seen_by=("tagger:5",))], "claimed by both 'Dog' and 'Cat'"),
    ],
)
def test_a_table_that_breaks_a_rule_is_refused(labels: list[Label], message: str) -> None:
    with pytest.raises(TaxonomyError) as caught:
        Taxonomy(labels)
    assert message in str(caught.value)


def test_a_file_with_other_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("name,category\nDog,Animals and Pets\n")
    with pytest.raises(TaxonomyError, match="has the columns"):
        Taxonomy.read(path)
    path.write_text(",".join(COLUMNS) + "\nDog,Animals and Pets,,,maybe,\n")
    with pytest.raises(TaxonomyError, match="has_boxes is 'maybe'"):
        Taxonomy.read(path)


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(
        ",".join(COLUMNS) + "\nDog,Animals and Pets,Pet,Hund|Chien,yes,tagger:1|tagger:2\nPet,Animals and Pets,,,,\n"
    )
    table = Taxonomy.read(path)
    assert table["Dog"] == Label("Dog", ANIMALS, ("Pet",), ("Hund", "Chien"), True, ("tagger:1", "tagger:2"), ("Pet",))
    assert table.by_evidence["tagger:2"].name == "Dog"
    assert table.sources == {"Dog": {"tagger"}, "Pet": {"tagger"}}


def test_membership_counts_descendants() -> None:
    table = Taxonomy([label("Cat", "Animal", seen_by=("eye:2",)), label("Animal", seen_by=("eye:0",)), label("Rock")])
    assert table.membership("eye", 3).tolist() == [[1, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert not table.membership("other", 3).any()


# --- the table that ships ---------------------------------------------------------------------------------------------


def test_forty_categories_and_each_is_used() -> None:
    assert len(CATEGORIES) == len(set(CATEGORIES)) == 40
    assert {found.category for found in taxonomy().values()} == set(CATEGORIES)


def test_enough_labels_most_of_them_seen() -> None:
    table = taxonomy()
    assert len(table) >= 2000
    assert sum(bool(sources) for sources in table.sources.values()) >= 1250


def test_every_imagenet_class_has_one_label() -> None:
    classes = [e.partition(":")[2] for found in taxonomy().values() for e in found.seen_by if e.startswith("tagger:")]
    assert sorted(map(int, classes)) == list(range(1000))


@pytest.mark.parametrize(
    ("name", "ancestors", "aliases", "category"),
    [
        ("Person", (), ("Human",), "Person Description"),
        ("Adult", ("Person",), (), "Person Description"),
        ("Woman", ("Adult", "Female", "Person"), (), "Person Description"),
        ("Pedestrian", ("Person",), (), "Person Description"),
        ("Car", ("Transportation", "Vehicle"), ("Automobile",), "Vehicles and Automotive"),
        ("Bicycle", ("Transportation", "Vehicle"), ("Bike",), "Vehicles and Automotive"),
        ("Wheel", ("Machine",), (), "Vehicles and Automotive"),
        ("Mobile Phone", ("Electronics", "Phone"), ("Cell Phone",), "Technology and Computing"),
        ("Clothing", (), ("Apparel",), "Apparel and Accessories"),
        ("Shoe", ("Clothing", "Footwear"), (), "Apparel and Accessories"),
        ("Skirt", ("Clothing",), (), "Apparel and Accessories"),
        ("Tartan", (), ("Plaid",), "Patterns and Shapes"),
        ("Smile", ("Face", "Happy", "Head", "Person"), (), "Expressions and Emotions"),
        ("College", ("Architecture", "Building"), (), "Buildings and Architecture"),
        ("Lawn", ("Grass", "Plant"), (), "Home and Indoors"),
        ("Golden Retriever", ("Animal", "Canine", "Dog", "Mammal", "Pet", "Retriever"), (), ANIMALS),
    ],
)
def test_rows_that_clients_know(name: str, ancestors: tuple[str, ...], aliases: tuple[str, ...], category: str) -> None:
    found = taxonomy()[name]
    assert (found.ancestors, found.aliases, found.category) == (ancestors, aliases, category)


def test_the_published_table_is_current() -> None:
    text = (ROOT / "docs" / "labels.csv").read_text(encoding="utf-8")
    assert text == published(taxonomy()), "run: python -m openrek.vision.labels.publish docs/labels.csv"
