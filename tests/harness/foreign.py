"""A file as a colleague abroad exports it: other encoding, delimiter and headers, and five kinds of wrong cells."""

from __future__ import annotations

from datetime import date, timedelta

DEFINITION = """
name: orders
description: Orders of the shop, for the warehouse
columns:
  number:  {type: str, unique: true, pattern: '[0-9]{6}', says: a number of six digits}
  country: {type: str, one_of: [DE, FR, PL]}
  ordered: {type: date}
  amount:  {type: decimal, min: 0}
  paid:    {type: bool}
  pieces:  {type: int, min: 1, optional: true}
request: {url: "${POSTS_URL}", json: {title: "{number}", country: "{country}", amount: "{amount}"}, timeout_seconds: 10}
limit: {name: orders, requests: 150, window_seconds: 1, in_flight: 30}
"""
HEADER = "Номер;Страна;Дата заказа;Сумма;Оплачено;Штук"
ROWS, WRONG = 1500, 200  # of each of five causes
TRUE_WORDS, FALSE_WORDS = "Да", "Нет"


def foreign_file(rows: int = ROWS, wrong: int = WRONG) -> bytes:
    """In cp1251, with semicolons. `wrong` cells each: dates, amounts, yes and no, pieces, and one country."""
    lines = [HEADER]
    for row in range(1, rows + 1):
        cause = row % 15 // 2 if row % 15 < 10 and row <= wrong * 15 // 2 else -1  # two rows in three have a wrong cell
        day = date(2026, 1, 1) + timedelta(days=row % 300)
        lines.append(
            ";".join(
                [
                    f"{100_000 + row}",
                    "Германия" if cause == 0 else ("DE", "FR", "PL")[row % 3],
                    f"{day:%d.%m.%Y}" if cause == 1 else day.isoformat(),
                    f"{row},{row % 90 + 10}" if cause == 2 else f"{row}.{row % 90 + 10}",
                    (TRUE_WORDS if row % 2 else FALSE_WORDS) if cause == 3 else "true" if row % 2 else "false",
                    "н/д" if cause == 4 else str(row % 9 + 1),
                ]
            )
        )
    return ("\r\n".join(lines) + "\r\n").encode("cp1251")
