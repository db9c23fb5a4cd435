use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use reqwest::Method;
use thunes_types::{ClientOrderId, Symbol};

use crate::budget::{Cost, Purpose};
use crate::encode::Params;
use crate::{Account, BinanceClient, CanceledOrder, NewOrder, NewOrderAnswer, Order, Side, Trade};

/// A request that is signed and not yet sent. It cannot be copied, and sending consumes it: it is sent once at most.
#[must_use]
pub struct SignedRequest<T> {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// What was signed, byte for byte.
    pub(crate) payload: String,
    pub(crate) signature: String,
    pub(crate) timeout: Duration,
    pub(crate) cost: Cost,
    timestamp_ms: i64,
    recv_window_ms: i64,
    answer: PhantomData<fn() -> T>,
}

impl<T> SignedRequest<T> {
    /// The signed exchange time.
    pub fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }

    /// How long after its timestamp the exchange accepts the request.
    pub fn recv_window_ms(&self) -> i64 {
        self.recv_window_ms
    }
}

impl<T> fmt::Debug for SignedRequest<T> {
    /// Without the signature, which is as good as the order itself while the window lasts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedRequest({} {} {})", self.method, self.path, self.payload)
    }
}

/// Succeeding it is free; failing it costs 1.
const CANCEL: Cost = Cost {
    weight: 1,
    orders: 0,
    purpose: Purpose::Stop,
};
const QUERY: Cost = Cost {
    weight: 4,
    orders: 0,
    purpose: Purpose::Resolve,
};

/// On Spot a SELL sells what is held: it closes.
pub(crate) fn order_cost(side: Side) -> Cost {
    let purpose = match side {
        Side::Buy => Purpose::Open,
        Side::Sell => Purpose::Stop,
    };
    Cost {
        weight: 1,
        orders: 1,
        purpose,
    }
}

/// Which of our trades to list, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TradesFilter {
    /// The most recent ones.
    Recent,
    /// From this trade id on, itself included.
    FromTradeId(i64),
    /// Those of one order, by the exchange's order id.
    OfOrder(i64),
}

/// Signing: pure, and without a clock. The caller gives the exchange time (milliseconds) and the receive window
/// (milliseconds, at most 60000), and decides from the same clock reading whether it may still send.
impl BinanceClient {
    /// A new order, answered in full.
    pub fn sign_order(
        &self,
        new_order: &NewOrder,
        timestamp_ms: i64,
        recv_window_ms: i64,
    ) -> SignedRequest<NewOrderAnswer> {
        self.sign(
            Method::POST,
            "/api/v3/order",
            new_order.params(),
            order_cost(new_order.side),
            timestamp_ms,
            recv_window_ms,
        )
    }

    /// Asks whether an order would pass the exchange's checks; nothing is placed.
    pub fn sign_order_test(
        &self,
        new_order: &NewOrder,
        timestamp_ms: i64,
        recv_window_ms: i64,
    ) -> SignedRequest<serde_json::Value> {
        self.sign(
            Method::POST,
            "/api/v3/order/test",
            new_order.params(),
            Cost::read(1),
            timestamp_ms,
            recv_window_ms,
        )
    }

    /// Cancels an order by our name for it.
    pub fn sign_cancel(
        &self,
        symbol: &Symbol,
        client_order_id: &ClientOrderId,
        timestamp_ms: i64,
        recv_window_ms: i64,
    ) -> SignedRequest<CanceledOrder> {
        let params = Params::default()
            .with("symbol", symbol)
            .with("origClientOrderId", client_order_id);
        self.sign(
            Method::DELETE,
            "/api/v3/order",
            params,
            CANCEL,
            timestamp_ms,
            recv_window_ms,
        )
    }

    /// Cancels an order by the exchange's id: for orders whose client order id is not one of ours.
    pub fn sign_cancel_by_venue_id(
        &self,
        symbol: &Symbol,
        venue_order_id: i64,
        timestamp_ms: i64,
        recv_window_ms: i64,
    ) -> SignedRequest<CanceledOrder> {
        let params = Params::default().with("symbol", symbol).with("orderId", venue_order_id);
        self.sign(
            Method::DELETE,
            "/api/v3/order",
            params,
            CANCEL,
            timestamp_ms,
            recv_window_ms,
        )
    }

    /// Asks for one order by our name for it.
    pub fn sign_query_order(
        &self,
        symbol: &Symbol,
        client_order_id: &ClientOrderId,
        timestamp_ms: i64,
        recv_window_ms: i64,
    ) -> SignedRequest<Order> {
        let params = Params::default()
            .with("symbol", symbol)
            .with("origClientOrderId", client_order_id);
        self.sign(
            Method::GET,
            "/api/v3/order",
            params,
            QUERY,
            timestamp_ms,
            recv_window_ms,
        )
    }

    /// Lists the open orders of one symbol, or of all (which costs far more weight).
    pub fn sign_open_orders(
        &self,
        symbol: Option<&Symbol>,
        timestamp_ms: i64,
        recv_window_ms: i64,
    ) -> SignedRequest<Vec<Order>> {
        let params = Params::default().with_some("symbol", symbol);
        let cost = match symbol {
            // What is left of a symbol after cancelling is asked for this way.
            Some(_) => Cost {
                weight: 6,
                orders: 0,
                purpose: Purpose::Resolve,
            },
            None => Cost::read(80),
        };
        self.sign(
            Method::GET,
            "/api/v3/openOrders",
            params,
            cost,
            timestamp_ms,
            recv_window_ms,
        )
    }

    /// Lists orders of a symbol from an order id on (itself included), or the most recent; `limit` 1 to 1000.
    pub fn sign_all_orders(
        &self,
        symbol: &Symbol,
        from_venue_order_id: Option<i64>,
        limit: u32,
        timestamp_ms: i64,
        recv_window_ms: i64,
    ) -> SignedRequest<Vec<Order>> {
        let params = Params::default()
            .with("symbol", symbol)
            .with_some("orderId", from_venue_order_id)
            .with("limit", limit);
        self.sign(
            Method::GET,
            "/api/v3/allOrders",
            params,
            Cost::read(20),
            timestamp_ms,
            recv_window_ms,
        )
    }

    /// The account with its balances.
    pub fn sign_account(&self, timestamp_ms: i64, recv_window_ms: i64) -> SignedRequest<Account> {
        self.sign(
            Method::GET,
            "/api/v3/account",
            Params::default(),
            Cost::read(20),
            timestamp_ms,
            recv_window_ms,
        )
    }

    /// Lists our trades of a symbol; `limit` 1 to 1000.
    pub fn sign_my_trades(
        &self,
        symbol: &Symbol,
        filter: TradesFilter,
        limit: u32,
        timestamp_ms: i64,
        recv_window_ms: i64,
    ) -> SignedRequest<Vec<Trade>> {
        let start = Params::default().with("symbol", symbol);
        let (params, cost) = match filter {
            TradesFilter::Recent => (start, Cost::read(20)),
            TradesFilter::FromTradeId(id) => (start.with("fromId", id), Cost::read(20)),
            TradesFilter::OfOrder(id) => {
                let cost = Cost {
                    weight: 5,
                    orders: 0,
                    purpose: Purpose::Resolve,
                };
                (start.with("orderId", id), cost)
            }
        };
        self.sign(
            Method::GET,
            "/api/v3/myTrades",
            params.with("limit", limit),
            cost,
            timestamp_ms,
            recv_window_ms,
        )
    }

    fn sign<T>(
        &self,
        method: Method,
        path: &'static str,
        params: Params,
        cost: Cost,
        timestamp_ms: i64,
        recv_window_ms: i64,
    ) -> SignedRequest<T> {
        let payload = params
            .with("recvWindow", recv_window_ms)
            .with("timestamp", timestamp_ms)
            .into_string();
        let signature = self.credentials().signer.sign(&payload);
        let timeout = if method == Method::GET {
            self.read_timeout()
        } else {
            self.order_timeout()
        };
        SignedRequest {
            method,
            path,
            payload,
            signature,
            timeout,
            cost,
            timestamp_ms,
            recv_window_ms,
            answer: PhantomData,
        }
    }
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::*;
    use crate::{ClientConfig, Credentials, OrderShape, Side, TimeInForce};

    fn client() -> BinanceClient {
        let credentials = Credentials::hmac("the-key".into(), "the-secret".into());
        BinanceClient::new(ClientConfig::new("http://127.0.0.1:9"), credentials).expect("a client")
    }

    fn order(shape: OrderShape) -> NewOrder {
        NewOrder {
            symbol: Symbol::parse("BTCUSDT").expect("a symbol"),
            side: Side::Buy,
            client_order_id: ClientOrderId::parse("T-1_a").expect("an id"),
            shape,
        }
    }

    #[test]
    fn each_shape_names_exactly_its_amounts() {
        let (one, two) = (Decimal::new(100, 2), Decimal::new(250, 1));
        for (shape, middle) in [
            (OrderShape::MarketQuantity { quantity: one }, "type=MARKET&quantity=1"),
            (
                OrderShape::MarketQuote { quote_quantity: two },
                "type=MARKET&quoteOrderQty=25",
            ),
            (
                OrderShape::Limit {
                    quantity: one,
                    price: two,
                    time_in_force: TimeInForce::Ioc,
                },
                "type=LIMIT&timeInForce=IOC&quantity=1&price=25",
            ),
            (
                OrderShape::LimitMaker {
                    quantity: one,
                    price: two,
                },
                "type=LIMIT_MAKER&quantity=1&price=25",
            ),
        ] {
            let signed = client().sign_order(&order(shape), 1_700_000_000_000, 2000);
            assert_eq!(
                signed.payload,
                format!(
                    "symbol=BTCUSDT&side=BUY&{middle}&newClientOrderId=T-1_a&newOrderRespType=FULL&recvWindow=2000&timestamp=1700000000000"
                )
            );
        }
    }

    #[test]
    fn p1_the_timestamp_and_window_given_are_the_ones_signed() {
        let shape = OrderShape::MarketQuantity { quantity: Decimal::ONE };
        let signed = client().sign_order(&order(shape), 1, 2);
        assert_eq!((signed.timestamp_ms(), signed.recv_window_ms()), (1, 2));
        assert!(signed.payload.ends_with("recvWindow=2&timestamp=1"));
        let later = client().sign_order(&order(shape), 2, 2);
        assert_ne!(signed.signature, later.signature);
    }

    #[test]
    fn debug_output_holds_no_signature() {
        let signed = client().sign_account(1, 2);
        assert!(!format!("{signed:?}").contains(&signed.signature));
    }
}
