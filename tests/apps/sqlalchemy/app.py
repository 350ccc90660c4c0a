"""SQLAlchemy's ORM on PyMySQL: a pool of 50 that pings before each use."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import common
from common import Crew, choose, equal
from sqlalchemy import URL, ForeignKey, String, UniqueConstraint, create_engine, event, func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload

engine = create_engine(
    URL.create("mysql+pymysql", common.USER, common.PASSWORD, common.HOST, common.PORT, common.SCHEMA),
    pool_size=common.WORKERS,
    max_overflow=0,
    pool_pre_ping=True,
    connect_args={"ssl_disabled": True},
)


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    balance: Mapped[int]
    sent: Mapped[list["Transfer"]] = relationship(foreign_keys="Transfer.source_id", back_populates="source")


class Transfer(Base):
    __tablename__ = "transfer"
    __table_args__ = (UniqueConstraint("worker", "turn"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    target_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    worker: Mapped[int]
    turn: Mapped[int]
    source: Mapped[Account] = relationship(foreign_keys=source_id, back_populates="sent")
    target: Mapped[Account] = relationship(foreign_keys=target_id)
    notes: Mapped[list["Note"]] = relationship(back_populates="transfer")


class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    transfer_id: Mapped[int] = mapped_column(ForeignKey("transfer.id"))
    body: Mapped[str] = mapped_column(String(100))
    transfer: Mapped[Transfer] = relationship(back_populates="notes")


opened = []


@event.listens_for(engine, "connect")
def settings(connection, record):
    opened.append(connection)
    with connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+03:00', lock_wait_timeout = 77")


def move(session, worker, number):
    low, high = choose(worker, number)
    locked = select(Account).where(Account.id.in_([low, high])).order_by(Account.id).with_for_update()
    accounts = {account.id: account for account in session.scalars(locked.execution_options(populate_existing=True))}
    accounts[low].balance -= 1
    accounts[high].balance += 1
    made = Transfer(source=accounts[low], target=accounts[high], worker=worker, turn=number)
    session.add(made)
    session.flush()
    with session.begin_nested() as savepoint:
        made.notes.append(Note(body="not kept"))
        session.flush()
        savepoint.rollback()
    made.notes.append(Note(body=f"note 🐭 {number}"))


def turn(worker, number):
    with Session(engine) as session:
        if number % 4 == 0:
            move(session, worker, number)
            session.rollback()
            own = select(func.count()).where(Transfer.worker == worker, Transfer.turn == number)
            equal("rolled back", session.scalar(own), 0)
            session.commit()
        move(session, worker, number)
        session.commit()
    with Session(engine) as session:
        mine = select(Transfer).where(Transfer.worker == worker)
        equal("own transfers", session.scalar(select(func.count()).select_from(mine.subquery())), number + 1)
        latest = mine.order_by(Transfer.turn.desc()).limit(5).options(selectinload(Transfer.notes))
        equal(
            "latest transfers",
            [(t.turn, t.source_id, t.target_id, [note.body for note in t.notes]) for t in session.scalars(latest)],
            [(n, *choose(worker, n), [f"note 🐭 {n}"]) for n in range(number, max(-1, number - 5), -1)],
        )
    with engine.connect() as connection:
        connection.execute(text("SET @worker = :worker"), {"worker": worker})
        connection.commit()
        got = connection.execute(text("SELECT @worker, @@time_zone, @@lock_wait_timeout, @@autocommit")).one()
        equal("settings", tuple(got), (worker, "+03:00", 77, 0))


def check(crew):
    with Session(engine) as session:
        turns = sum(crew.turns)
        for table in (Transfer, Note):
            equal(table.__tablename__, session.scalar(select(func.count()).select_from(table)), turns)
        equal("money", session.scalar(select(func.sum(Account.balance))), common.ACCOUNTS * common.OPENING)
        received = dict(session.execute(select(Transfer.target_id, func.count()).group_by(Transfer.target_id)).all())
        for account in session.scalars(select(Account).options(selectinload(Account.sent))):
            balance = common.OPENING - len(account.sent) + received.get(account.id, 0)
            equal(f"balance of account {account.id}", account.balance, balance)


def validate(worker):
    """Takes a connection from the pool (ping) and returns it (rollback)."""
    engine.connect().close()


def probe(worker):
    with engine.connect() as connection:
        equal("probe", connection.scalar(text("SELECT 1")), 1)


def reconnect(worker):
    with engine.connect() as connection:
        connection.invalidate()
    probe(worker)


Base.metadata.create_all(engine)
with Session(engine) as session:
    session.add_all(Account(balance=common.OPENING) for _ in range(common.ACCOUNTS))
    session.commit()
crew = Crew()
crew.work(turn)
equal("connections made again", max(0, len(opened) - common.WORKERS), 0)
check(crew)
woken = crew.idle(validation=validate, probe=probe, reconnect=reconnect)
crew.run(lambda worker: turn(worker, crew.turns[worker]))
crew.turns = [n + 1 for n in crew.turns]
check(crew)
crew.leave()
equal("what woke the database", woken, [])
print(f"{sum(crew.turns)} transfers")
