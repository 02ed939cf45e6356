"""RuleJudge a version by what is new in it: rules part by part, totals put together from those of parts."""
