-- A trading day is any day but Saturday that is no bank holiday; a month is expected up to its last day of revenue.
with months as (
    select
        date_trunc('month', day)::date as month,
        count(*) as trading_days,
        max(day) as last_day,
        sum(lines)::bigint as lines,
        sum(net) as net
    from daily_revenue
    group by 1
),
calendar as (
    select month, day::date as day
    from (select month, unnest(generate_series(month, last_day, interval 1 day)) as day from months)
    where dayname(day) <> 'Saturday' and day::date not in (select date from bank_holidays)
),
expected as (select month, count(*) as expected_days from calendar group by 1),
fees as (select date_trunc('month', day)::date as month, sum(amount) as amount from sales.fees_and_charges group by 1),
euros as (select date_trunc('month', day)::date as month, sum(net_eur) as net_eur from daily_revenue_eur group by 1)
select
    month, trading_days, expected_days, lines, net, net - coalesce(fees.amount, 0) as merchandise_net, euros.net_eur
from months
join expected using (month)
left join fees using (month)
left join euros using (month)
