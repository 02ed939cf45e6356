"""Examples of each verb, which its help shows; a test reads every one of them as it is typed."""

# By verb: what is typed, and what it does.
EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "approvals": (("products approvals", "what awaits approval, and whose"),),
    "approve": (
        (
            'products approve cfo_pack --as cfo@shop.example --because "agrees with the ledger"',
            "agree that the version that waits is published",
        ),
    ),
    "catalog": (
        (
            "products catalog copy postgresql://host/assay",
            "move the catalog from a file to PostgreSQL",
        ),
    ),
    "check": (
        ("products check", "find what a build would refuse, without data"),
        ("products check --against origin/main", "what a change breaks, for whom"),
    ),
    "describe": (("products describe orders", "columns, rules, owner, and who uses it"),),
    "diff": (
        ("products diff orders --held", "what is held back, against what readers have"),
        ("products diff orders --before v3f2c --after v91aa", "two versions"),
    ),
    "docs": (("products docs --to site", "write pages that any web server shows"),),
    "env": (
        ("products env create try", "an environment with what prod publishes now"),
        ("products env ls", "list environments"),
    ),
    "evidence": (
        ("products evidence cfo_pack --data", "one archive about the published version"),
        ("products evidence --verify cfo_pack.zip", "check it, without the project"),
    ),
    "freshness": (("products freshness", "which promises are kept, due or missed"),),
    "gc": (("products gc --dry-run", "what would be removed"),),
    "history": (
        ("products history orders", "its versions, newest first"),
        ('products history orders --rule "no price is negative"', "one rule over the versions"),
    ),
    "incidents": (("products incidents", "what is wrong now, and who was told"),),
    "init": (("products init", "add an example to this folder; nothing is overwritten"),),
    "lineage": (
        ("products lineage orders", "what it depends on, and what depends on it"),
        ("products lineage orders.amount", "the same for one column"),
    ),
    "ls": (("products ls --json", "products and sources, for a script"),),
    "materialize": (
        ("products materialize", "build, check and publish all that is stale"),
        ("products materialize +orders", "orders, and what it depends on"),
        (
            "products materialize orders --parts 2024-01-01..2024-01-31",
            "the parts of January only",
        ),
    ),
    "notify": (("products notify --test", "try the routes of the settings"),),
    "plan": (("products plan -s tag:board", "what a run would do, and why"),),
    "promote": (("products promote --from try --dry-run", "what would be published in prod"),),
    "query": (
        ('products query "from orders limit 5"', "SQL on what is published"),
        ('products query "from orders" --format csv', "the same as CSV"),
    ),
    "record": (("products record --month 2024-01", "promises kept in January"),),
    "restore": (
        ("products restore orders v3f2c", "publish an earlier version, and pin it"),
        ("products restore orders --unpin", "let runs publish again"),
    ),
    "retire": (("products retire old_orders", "unpublish what is no longer declared"),),
    "retry": (("products retry", "build again what failed in the last run"),),
    "run": (("products run --port 9090", "build what is due, until it is stopped"),),
    "runs": (("products runs --limit 5", "the last five runs"),),
    "serve": (("products serve", "pages about all products, in a browser"),),
    "show": (
        ("products show orders", "the first rows that are published"),
        (
            'products show orders --held --failures "no price is negative"',
            "the rows that hold a version back",
        ),
    ),
    "status": (("products status", "what is published, and is it up to date"),),
    "suggest": (("products suggest raw_orders", "a contract to paste, from the data"),),
    "test": (
        ("products test", "run all tests of products"),
        ("products test --generate orders", "write a test from what is published"),
    ),
    "verify": (("products verify --repair", "check all stored files, and set damaged ones aside"),),
    "waive": (
        (
            'products waive orders --rule "no price is negative" --until 2024-02-01 --because "is known"',
            "let through the rows that fail now, until that day",
        ),
    ),
    "waivers": (("products waivers", "what is let through, until when and why"),),
    "watch": (("products watch", "what runs do, as it happens"),),
    "why": (
        ("products why orders", "what happens next to it, and what would change that"),
        ("products why orders --rules", "how each of its rules is checked"),
    ),
}


def shown(verb: str) -> str:
    """Return the examples of a verb as the end of its help; '' for a verb without any."""
    lines = [f"  {typed}\n      {does}" for typed, does in EXAMPLES.get(verb, ())]
    return "\b\nExamples:\n" + "\n".join(lines) if lines else ""
