import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;

public class Exact {
    public static void main(String[] args) throws Exception {
        String reply = "{\"actual_balance\":{\"USDT\":123456789012345678.123456}}";
        ObjectMapper json = new ObjectMapper().enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS);
        System.out.println(json.readTree(reply).at("/actual_balance/USDT").decimalValue());
    }
}
