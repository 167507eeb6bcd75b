"""What the demo provider says and what the demo teams ask. Made up; nothing here matters but its length."""

from __future__ import annotations

HANDBOOK = (
    "You answer for the freight desk of a shipping company. Be brief and exact. Weights are metric tonnes "
    "unless the customer says otherwise. Quote gross, tare and net, in this order. A vehicle above its "
    "permitted weight must not leave the yard; say so first, before anything else. If an axle figure is "
    "missing, ask for it rather than assume one. Dangerous goods need the number of the consignment note. "
    "Refunds are decided by people: collect the ticket number, the date and the reason, and hand over. "
) * 12
"""A long system prompt, above the size from which providers cache."""

REPLIES = (
    "The truck weighed 38.4 tonnes gross and 14.1 tonnes tare, which leaves 24.3 tonnes net. That is within "
    "the permitted weight for five axles, so it may leave the yard.",
    "Three consignments are late: two wait for customs papers and one for a driver. The customer of the "
    "second one has asked twice today and should hear from us first.",
    "The ticket is in order. The difference of 120 kilograms comes from the fuel taken between the two "
    "weighings, which is normal for this route.",
    "I would group the complaints in four: waiting time at the gate, wrong tare on file, tickets that do not "
    "reach the office, and opening hours. The first two make up about seventy percent.",
    "Add an index on the arrival time and read the open tickets by it. The query scans the whole table now "
    "because the function around the column hides it from the planner.",
    "Dear customer, thank you for writing. We have corrected the tare of your vehicle and issued a new "
    "ticket, which you find enclosed. The old one is void. We are sorry for the trouble.",
    "In short: volume is up six percent on last month, waiting time is down by a fifth since the second lane "
    "opened, and the share of disputed tickets has not changed.",
    "No. A consignment note without a number cannot be accepted, even when the goods are known. Please ask "
    "the sender for it; the form takes two minutes.",
)

QUESTIONS: dict[str, tuple[str, ...]] = {
    "chat-assistant": (
        "My truck shows 38.4 t at the gate. May it leave?",
        "Where is ticket 20391? The driver says it was never printed.",
        "What do you need from me for dangerous goods?",
    ),
    "ticket-triage": (
        "Sort this complaint: waited two hours at the gate, nobody answered the phone.",
        "Sort this complaint: the tare on file belongs to another trailer.",
    ),
    "document-summary": (
        "Summarise the yard report of this week in three sentences for the board.",
        "Summarise the dispute about ticket 18822, both sides, no opinion.",
    ),
    "code-review": (
        "Why is this query slow: select * from tickets where date(arrived) = current_date?",
        "Review: def net(gross, tare): return abs(gross - tare)",
    ),
    "search-index": (
        "weighbridge calibration certificate 2026",
        "axle load limits five axle articulated vehicle",
    ),
}
"""Feature -> what its users ask."""

TEAMS: dict[str, tuple[str, ...]] = {
    "support": ("chat-assistant", "ticket-triage"),
    "platform": ("code-review", "search-index"),
    "finance": ("document-summary",),
    "sales": ("chat-assistant", "document-summary"),
}
"""Team -> the features it runs."""

USERS = ("ada", "bruno", "chen", "dilan", "emeka", "freya", "goran", "hana")
