"""A script for Interactive Brokers as anybody writes it: plain ib_insync, and no word of this project.

Point it at a TWS, at a Gateway, or at the paper exchange that speaks as one:

    python examples/ib_stranger.py 127.0.0.1 7497 AAPL
"""

import sys

from ib_insync import IB, LimitOrder, MarketOrder, Stock


def main(host: str, port: int, symbol: str) -> None:
    ib = IB()
    ib.RequestTimeout = 20
    ib.connect(host, port, clientId=11)
    print("accounts", ib.managedAccounts())

    (details,) = ib.reqContractDetails(Stock(symbol, "SMART", "USD"))
    contract = details.contract
    print("contract", contract.symbol, contract.primaryExchange, contract.currency, details.longName)

    bars = ib.reqHistoricalData(contract, "", "10 D", "1 day", "TRADES", useRTH=True)
    print("bars", len(bars), bars[-1].date, bars[-1].close)

    money = {
        row.tag: float(row.value) for row in ib.accountSummary() if row.tag in ("NetLiquidation", "TotalCashValue")
    }
    print("money", money["NetLiquidation"], money["TotalCashValue"])

    bought = ib.placeOrder(contract, MarketOrder("BUY", 10, tif="DAY"))
    while not bought.isDone():
        ib.waitOnUpdate(timeout=20)
    print("bought", bought.orderStatus.status, bought.orderStatus.filled, bought.orderStatus.avgFillPrice)
    price = bought.orderStatus.avgFillPrice

    resting = ib.placeOrder(contract, LimitOrder("BUY", 5, round(price * 0.5, 2), tif="DAY"))
    while resting.orderStatus.status not in ("Submitted", "PreSubmitted"):
        ib.waitOnUpdate(timeout=20)
    print("resting", resting.isActive())
    ib.cancelOrder(resting.order)
    while not resting.isDone():
        ib.waitOnUpdate(timeout=20)
    print("cancelled", resting.orderStatus.status)

    bracket = ib.bracketOrder("BUY", 10, round(price * 1.05, 2), round(price * 1.5, 2), round(price * 0.7, 2))
    entry, profit, stop = [ib.placeOrder(contract, order) for order in bracket]
    while not (entry.isDone() and profit.orderStatus.status == "Submitted" and stop.orderStatus.permId):
        ib.waitOnUpdate(timeout=20)
    print("bracket", entry.orderStatus.status, profit.orderStatus.status, stop.orderStatus.status)
    ib.cancelOrder(profit.order)
    ib.cancelOrder(stop.order)
    while not (profit.isDone() and stop.isDone()):
        ib.waitOnUpdate(timeout=20)
    print("legs", profit.orderStatus.status, stop.orderStatus.status)

    sold = ib.placeOrder(contract, MarketOrder("SELL", 20, tif="DAY"))
    while not sold.isDone():
        ib.waitOnUpdate(timeout=20)
    ib.reqPositions()
    print("flat", [(row.contract.symbol, row.position) for row in ib.positions()])
    print("fills", [(fill.execution.side, fill.execution.shares) for fill in ib.reqExecutions()])
    ib.disconnect()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
