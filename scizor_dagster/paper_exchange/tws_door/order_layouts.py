"""Order messages of server version 176, field by field, as data.

What belongs here: the order of the fields of `placeOrder`, `openOrder` and `completedOrder`, and what a
real TWS writes into those that a plain order leaves alone. What does not: what the fields say of one
order (`order_messages`).

The fields are those of an order without combination legs, algorithm, conditions or hedge, which would
insert fields of their own. A real TWS writes the text `None` for the delta-neutral type and then its block.
"""

from __future__ import annotations

UNSET_DOUBLE = "1.7976931348623157E308"
UNSET_INTEGER = "2147483647"
UNSET_LONG = "9223372036854775807"

_PLACE_ORDER_TEXT = """
message orderId conId symbol secType lastTrade strike right multiplier exchange primaryExchange currency
localSymbol tradingClass secIdType secId action totalQuantity orderType lmtPrice auxPrice tif ocaGroup account
openClose origin orderRef transmit parentId blockOrder sweepToFill displaySize triggerMethod outsideRth hidden
sharesAllocation discretionaryAmt goodAfterTime goodTillDate faGroup faMethod faPercentage faProfile modelCode
shortSaleSlot designatedLocation exemptCode ocaType rule80A settlingFirm allOrNone minQty percentOffset
eTradeOnly firmQuoteOnly nbboPriceCap auctionStrategy startingPrice stockRefPrice delta stockRangeLower
stockRangeUpper overridePercentageConstraints volatility volatilityType deltaNeutralOrderType
deltaNeutralAuxPrice continuousUpdate referencePriceType trailStopPrice trailingPercent scaleInitLevelSize
scaleSubsLevelSize scalePriceIncrement scaleTable activeStartTime activeStopTime hedgeType optOutSmartRouting
clearingAccount clearingIntent notHeld deltaNeutralContract algoStrategy algoId whatIf orderMiscOptions
solicited randomizeSize randomizePrice conditions adjustedOrderType triggerPrice lmtPriceOffset
adjustedStopPrice adjustedStopLimitPrice adjustedTrailingAmount adjustableTrailingUnit extOperator
softDollarTierName softDollarTierValue cashQty mifid2DecisionMaker mifid2DecisionAlgo mifid2ExecutionTrader
mifid2ExecutionAlgo dontUseAutoPriceForHedge isOmsContainer discretionaryUpToLimitPrice usePriceMgmtAlgo
duration postToAts autoCancelParent advancedErrorOverride manualOrderTime
"""
PLACE_ORDER = tuple(_PLACE_ORDER_TEXT.split())
"""Client to server, message 3: 115 fields."""

_OPEN_ORDER_TEXT = """
message orderId conId symbol secType lastTrade strike right multiplier exchange currency localSymbol
tradingClass action totalQuantity orderType lmtPrice auxPrice tif ocaGroup account openClose origin orderRef
clientId permId outsideRth hidden discretionaryAmt goodAfterTime sharesAllocation faGroup faMethod faPercentage
faProfile modelCode goodTillDate rule80A percentOffset settlingFirm shortSaleSlot designatedLocation exemptCode
auctionStrategy startingPrice stockRefPrice delta stockRangeLower stockRangeUpper displaySize blockOrder
sweepToFill allOrNone minQty ocaType eTradeOnly firmQuoteOnly nbboPriceCap parentId triggerMethod volatility
volatilityType deltaNeutralOrderType deltaNeutralAuxPrice deltaNeutralConId deltaNeutralSettlingFirm
deltaNeutralClearingAccount deltaNeutralClearingIntent deltaNeutralOpenClose deltaNeutralShortSale
deltaNeutralShortSaleSlot deltaNeutralDesignatedLocation continuousUpdate referencePriceType trailStopPrice
trailingPercent basisPoints basisPointsType comboLegsDescrip comboLegs orderComboLegs smartComboRoutingParams
scaleInitLevelSize scaleSubsLevelSize scalePriceIncrement hedgeType optOutSmartRouting clearingAccount
clearingIntent notHeld deltaNeutralContract algoStrategy solicited whatIf status initMarginBefore
maintMarginBefore equityWithLoanBefore initMarginChange maintMarginChange equityWithLoanChange initMarginAfter
maintMarginAfter equityWithLoanAfter commission minCommission maxCommission commissionCurrency warningText
randomizeSize randomizePrice conditions adjustedOrderType triggerPrice adjustedTrailStopPrice lmtPriceOffset
adjustedStopPrice adjustedStopLimitPrice adjustedTrailingAmount adjustableTrailingUnit softDollarTierName
softDollarTierValue softDollarTierDisplayName cashQty dontUseAutoPriceForHedge isOmsContainer
discretionaryUpToLimitPrice usePriceMgmtAlgo duration postToAts autoCancelParent minTradeQty minCompeteSize
competeAgainstBestOffset midOffsetAtWhole midOffsetAtHalf
"""
OPEN_ORDER = tuple(_OPEN_ORDER_TEXT.split())
"""Server to client, message 5: 136 fields."""

OPEN_ORDER_DEFAULTS = {
    "message": "5",
    "secType": "STK",
    "strike": "0",
    "right": "?",
    "exchange": "SMART",
    "currency": "USD",
    "origin": "0",
    "outsideRth": "0",
    "hidden": "0",
    "discretionaryAmt": "0",
    "shortSaleSlot": "0",
    "exemptCode": "-1",
    "auctionStrategy": "0",
    "displaySize": UNSET_INTEGER,
    "blockOrder": "0",
    "sweepToFill": "0",
    "allOrNone": "0",
    "ocaType": "3",
    "eTradeOnly": "0",
    "firmQuoteOnly": "0",
    "parentId": "0",
    "triggerMethod": "0",
    "volatilityType": "0",
    "deltaNeutralOrderType": "None",
    "deltaNeutralConId": "0",
    "deltaNeutralOpenClose": "?",
    "deltaNeutralShortSale": "0",
    "deltaNeutralShortSaleSlot": "0",
    "continuousUpdate": "0",
    "referencePriceType": "0",
    "comboLegs": "0",
    "orderComboLegs": "0",
    "smartComboRoutingParams": "0",
    "scaleInitLevelSize": UNSET_INTEGER,
    "scaleSubsLevelSize": UNSET_INTEGER,
    "optOutSmartRouting": "0",
    "clearingIntent": "IB",
    "notHeld": "0",
    "deltaNeutralContract": "0",
    "solicited": "0",
    "whatIf": "0",
    "initMarginBefore": UNSET_DOUBLE,
    "maintMarginBefore": UNSET_DOUBLE,
    "equityWithLoanBefore": UNSET_DOUBLE,
    "initMarginChange": UNSET_DOUBLE,
    "maintMarginChange": UNSET_DOUBLE,
    "equityWithLoanChange": UNSET_DOUBLE,
    "initMarginAfter": UNSET_DOUBLE,
    "maintMarginAfter": UNSET_DOUBLE,
    "equityWithLoanAfter": UNSET_DOUBLE,
    "randomizeSize": "0",
    "randomizePrice": "0",
    "conditions": "0",
    "adjustedOrderType": "None",
    "triggerPrice": UNSET_DOUBLE,
    "adjustedTrailStopPrice": UNSET_DOUBLE,
    "lmtPriceOffset": UNSET_DOUBLE,
    "adjustedStopPrice": UNSET_DOUBLE,
    "adjustedStopLimitPrice": UNSET_DOUBLE,
    "adjustedTrailingAmount": UNSET_DOUBLE,
    "adjustableTrailingUnit": "0",
    "cashQty": "0",
    "dontUseAutoPriceForHedge": "1",
    "isOmsContainer": "0",
    "discretionaryUpToLimitPrice": "0",
    "usePriceMgmtAlgo": "0",
    "autoCancelParent": "0",
    "minCompeteSize": "100",
    "competeAgainstBestOffset": "0.02",
}
"""What a plain order leaves alone, as it was recorded; fields that are not named are empty."""

_COMPLETED_ORDER_TEXT = """
message conId symbol secType lastTrade strike right multiplier exchange currency localSymbol tradingClass action
totalQuantity orderType lmtPrice auxPrice tif ocaGroup account openClose origin orderRef permId outsideRth
hidden discretionaryAmt goodAfterTime faGroup faMethod faPercentage faProfile modelCode goodTillDate rule80A
percentOffset settlingFirm shortSaleSlot designatedLocation exemptCode startingPrice stockRefPrice delta
stockRangeLower stockRangeUpper displaySize sweepToFill allOrNone minQty ocaType triggerMethod volatility
volatilityType deltaNeutralOrderType deltaNeutralAuxPrice deltaNeutralConId deltaNeutralShortSale
deltaNeutralShortSaleSlot deltaNeutralDesignatedLocation continuousUpdate referencePriceType trailStopPrice
trailingPercent comboLegsDescrip comboLegs orderComboLegs smartComboRoutingParams scaleInitLevelSize
scaleSubsLevelSize scalePriceIncrement hedgeType clearingAccount clearingIntent notHeld deltaNeutralContract
algoStrategy solicited status randomizeSize randomizePrice conditions adjustedTrailStopPrice lmtPriceOffset
cashQty dontUseAutoPriceForHedge isOmsContainer autoCancelDate filledQuantity refFuturesConId autoCancelParent
shareholder imbalanceOnly routeMarketableToBbo parentPermId completedTime completedStatus minTradeQty
minCompeteSize competeAgainstBestOffset midOffsetAtWhole midOffsetAtHalf
"""
COMPLETED_ORDER = tuple(_COMPLETED_ORDER_TEXT.split())
"""Server to client, message 101. There is no order id and no client id in it."""

COMPLETED_ORDER_DEFAULTS = {
    "message": "101",
    "secType": "STK",
    "strike": "0",
    "right": "?",
    "exchange": "SMART",
    "currency": "USD",
    "origin": "0",
    "outsideRth": "0",
    "hidden": "0",
    "discretionaryAmt": "0",
    "shortSaleSlot": "0",
    "exemptCode": "-1",
    "displaySize": UNSET_INTEGER,
    "sweepToFill": "0",
    "allOrNone": "0",
    "ocaType": "3",
    "triggerMethod": "0",
    "volatilityType": "0",
    "deltaNeutralOrderType": "None",
    "deltaNeutralConId": "0",
    "deltaNeutralShortSale": "0",
    "deltaNeutralShortSaleSlot": "0",
    "continuousUpdate": "0",
    "referencePriceType": "0",
    "comboLegs": "0",
    "orderComboLegs": "0",
    "smartComboRoutingParams": "0",
    "scaleInitLevelSize": UNSET_INTEGER,
    "scaleSubsLevelSize": UNSET_INTEGER,
    "clearingIntent": "IB",
    "notHeld": "0",
    "deltaNeutralContract": "0",
    "solicited": "0",
    "randomizeSize": "0",
    "randomizePrice": "0",
    "conditions": "0",
    "adjustedTrailStopPrice": UNSET_DOUBLE,
    "lmtPriceOffset": UNSET_DOUBLE,
    "cashQty": "0",
    "dontUseAutoPriceForHedge": "1",
    "isOmsContainer": "0",
    "refFuturesConId": UNSET_INTEGER,
    "autoCancelParent": "0",
    "shareholder": "Not an insider or substantial shareholder",
    "imbalanceOnly": "0",
    "routeMarketableToBbo": "0",
    "parentPermId": UNSET_LONG,
    "minCompeteSize": "100",
    "competeAgainstBestOffset": "0.02",
}
