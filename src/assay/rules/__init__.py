"""RuleJudge: a schema becomes a contract, a contract meets staged files; the only importer of pandera."""
