-- The largest line looks at lines that were not cancelled the same day: a mistake already put right is no mistake.
with lines as (
    select *, invoiced_at::date as day from sales.sales_lines
),
cancelled_the_same_day as (
    select distinct day, stock_code, -quantity as quantity, unit_price, customer from lines where is_cancellation
),
sold as (
    select lines.*, gone.day is null as stands
    from lines
    left join cancelled_the_same_day gone
        on gone.day = lines.day and gone.stock_code = lines.stock_code and gone.quantity = lines.quantity
        and gone.unit_price = lines.unit_price and gone.customer is not distinct from lines.customer
)
select
    day,
    count(*) as lines,
    count(distinct invoice) as invoices,
    coalesce(sum(amount) filter (not is_cancellation), 0) as gross,
    coalesce(sum(amount) filter (is_cancellation), 0) as cancelled,
    sum(amount) as net,
    coalesce(max(amount) filter (stands and not is_cancellation), 0) as largest_line
from sold
group by day
order by day
